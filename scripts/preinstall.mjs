/**
 * Runs before packages are installed beside this one. onnxruntime-node's own install script fetches CUDA libraries on
 * Linux x64, and where their host cannot be reached it fails the whole installation, though scoring on the CPU needs none of
 * them. There this leaves a note in place of each file: the script finds them present and fetches nothing, and
 * `tokensieve doctor` reads a note as a missing file. Where the host is reached, or ONNXRUNTIME_NODE_INSTALL says what to
 * do, nothing is done here. npm runs every preinstall script before the first postinstall script. Never fails.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { arch, platform } from 'node:os';
import { dirname, join } from 'node:path';

const SECONDS = 10;

async function reached(url) {
  try {
    const { status } = await fetch(url, { signal: AbortSignal.timeout(SECONDS * 1000) });
    return status < 500;
  } catch {
    return false;
  }
}

async function main() {
  const { env } = process;
  const asked = Object.keys(env).some((name) => /^(npm_config_)?onnxruntime_node_install/i.test(name));
  // A proxy that the script would use may reach what this does not.
  const proxied = Object.keys(env).some((name) => /^global_agent_/i.test(name));
  if (asked || proxied || platform() !== 'linux' || arch() !== 'x64') return;
  const require = createRequire(import.meta.url);
  const root = dirname(require.resolve('onnxruntime-node/package.json'));
  const { requirements, manifests, feeds } = require(join(root, 'script', 'install-metadata.js'));
  if (await reached(feeds.nuget.index)) return;
  const note =
    'Not a library: when this package was installed, the host of the CUDA libraries could not be reached.\n' +
    '`tokensieve doctor --fix` fetches them, or takes them from a path.\n';
  for (const name of requirements['linux/x64']) {
    for (const file of Object.keys(manifests[`linux/x64:${name}`])) {
      const path = join(root, 'bin', 'napi-v6', 'linux', 'x64', file);
      if (!existsSync(path)) writeFileSync(path, note);
    }
  }
}

await main().catch(() => undefined);
