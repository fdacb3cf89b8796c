/** What a command's own file gives; its name and one line about it are in `commands.ts`, which is read at every start. */
import type { Argv, CommandModule } from 'yargs';

export interface Command {
  /** Adds the command's words and flags. */
  builder(yargs: Argv): Argv;
  readonly handler: CommandModule['handler'];
}
