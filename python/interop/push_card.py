"""
An export of `hf` pushed to a Hub: what `hf upload` sends, and what `load_dataset` makes of it. The Hub is a server in this process that knows as much of
the upload's interface as huggingface_hub asks for, and keeps files in a folder; nothing leaves the machine.

    tokensieve export RUN --to hf --out exports/hf
    python python/interop/push_card.py exports/hf
"""

from __future__ import annotations

import base64
import json
import os
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

REPO = "someone/tokens"


def hub(store: Path) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        server: ThreadingHTTPServer

        def answer(self, body: Any, status: int = 200) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self) -> None:
            self.answer({"id": REPO, "sha": "0" * 40, "siblings": [], "private": False})

        def do_POST(self) -> None:
            body = self._body()
            address = f"http://127.0.0.1:{self.server.server_port}/datasets/{REPO}"
            if self.path.startswith("/api/repos/create"):
                self.answer({"url": address, "name": REPO})
            elif "/preupload/" in self.path:
                files = [
                    {"path": one["path"], "uploadMode": "regular", "shouldIgnore": False}
                    for one in json.loads(body)["files"]
                ]
                self.answer({"files": files})
            elif "/commit/" in self.path:
                for line in body.decode().splitlines():
                    entry = json.loads(line)
                    if entry["key"] == "file":
                        path = store / entry["value"]["path"]
                        path.parent.mkdir(parents=True, exist_ok=True)
                        path.write_bytes(base64.b64decode(entry["value"]["content"]))
                self.answer({"success": True, "commitOid": "1" * 40, "commitUrl": f"{address}/commit/{'1' * 40}"})
            else:
                # The card's front matter is asked to be looked at before a commit.
                self.answer({"errors": [], "warnings": []})

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            found = b""
            while size := int(self.rfile.readline(), 16):
                found += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return found

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def main(exported: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder, "hub")
        server = hub(store)
        os.environ["HF_ENDPOINT"] = f"http://127.0.0.1:{server.server_address[1]}"
        os.environ["HF_HUB_DISABLE_XET"] = "1"
        os.environ.pop("HF_HUB_OFFLINE", None)
        import datasets
        import huggingface_hub

        datasets.disable_progress_bars()
        own = datasets.load_from_disk(exported)["train"]
        # As somebody has it who mapped it before: files of a cache beside the data.
        own.map(lambda row: {"n": len(row["input_ids"])})
        # The documented line: hf upload someone/tokens exports/hf . --repo-type dataset --exclude 'train/cache-*'
        api = huggingface_hub.HfApi(endpoint=os.environ["HF_ENDPOINT"], token="hf_none")
        api.create_repo(REPO, repo_type="dataset", exist_ok=True)
        api.upload_folder(folder_path=exported, repo_id=REPO, repo_type="dataset", ignore_patterns=["train/cache-*"])
        server.shutdown()
        names = sorted(str(path.relative_to(store)) for path in store.rglob("*") if path.is_file())
        assert "README.md" in names
        assert not [name for name in names if "cache-" in name], names
        pushed = datasets.load_dataset(str(store), split="train", cache_dir=str(Path(folder, "cache")))
        assert pushed.column_names == own.column_names
        assert len(pushed) == len(own)
        for name in own.column_names:
            lists = [data.with_format("arrow")[:][name].combine_chunks() for data in (pushed, own)]
            for part in ("offsets", "values"):
                found, wanted = (getattr(one, part).to_numpy() for one in lists)
                assert np.array_equal(found, wanted, equal_nan=found.dtype.kind == "f"), (name, part)
        card = huggingface_hub.DatasetCard.load(store / "README.md")
        (config,) = card.data.to_dict()["configs"]
        print(f"{len(names)} files, {len(pushed)} rows of {', '.join(pushed.column_names)} as exported; card: {config}")
        print(f"huggingface_hub {huggingface_hub.__version__}, datasets {datasets.__version__}")


if __name__ == "__main__":
    main(*sys.argv[1:])
