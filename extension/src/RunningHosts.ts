/**
 * Hosts as processes of their own: found by the state directory of the folder, started when there is none, left alone when the window closes.
 *
 * The host's program comes with the extension and is copied out of it first: an update of the extension must not take it away from a host that
 * runs.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as HostClient from "../../src/host/HostClient.ts"
import * as Launcher from "../../src/host/Launcher.ts"
import * as StateDirectory from "../../src/store/StateDirectory.ts"
import { Editor, Log } from "./Editor.ts"
import { Hosts, HostUnavailable, type Wish } from "./Hosts.ts"

/** Beside the bundled extension. */
const program = fileURLToPath(new URL("./host.cjs", import.meta.url))

export const layer = Layer.effect(
  Hosts,
  Effect.gen(function* () {
    const { l10n } = yield* Editor
    const log = yield* Log
    const place: StateDirectory.Place = { platform: process.platform, env: process.env, home: os.homedir() }
    const self = { path: process.execPath, electron: process.versions["electron"] !== undefined }
    const locate = (wish: Pick<Wish, "directory" | "stateDirectory">) => StateDirectory.locate(place, wish.directory, wish.stateDirectory)

    return {
      hasState: (wish) =>
        Effect.catch(
          Effect.map(locate(wish), (directory) =>
            ["host.json", "owner.json", "host-settings.json"].some((name) => fs.existsSync(path.join(directory, name)))
          ),
          () => Effect.succeed(false)
        ),
      connect: (wish) =>
        Effect.gen(function* () {
          const directory = yield* locate(wish)
          const copy = yield* Launcher.install(program, place)
          const { client, runtime } = yield* HostClient.make({
            directory,
            host: Effect.suspend(() => {
              log.debug(`looking for the host of ${directory}`)
              return Launcher.launch({
                directory,
                place,
                self,
                program: copy,
                settings: { cwd: wish.directory, config: wish.config },
                ...(wish.nodePath === undefined ? {} : { nodePath: wish.nodePath })
              })
            }),
            name: "editor",
            onLeave: wish.onEditorClose
          })
          const { welcome } = client
          return {
            runtime,
            lost: client.lost,
            stateDirectory: welcome.directory,
            about: [
              [l10n.t("Process"), String(welcome.pid)],
              [l10n.t("Version"), welcome.version],
              ["Node", welcome.node],
              [l10n.t("State"), welcome.directory]
            ] as const
          }
        }).pipe(Effect.mapError((cause) => new HostUnavailable({ directory: wish.directory, detail: cause.message, cause })))
    }
  })
)
