/**
 * Hosts as processes of their own: found by the state directory of the folder, started when there is none, left alone when the window closes.
 *
 * The host's program comes with the extension and is copied out of it first: an update of the extension must not take it away from a host that
 * runs.
 */
import * as os from "node:os"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Connection from "../../src/host/Connection.ts"
import * as HostClient from "../../src/host/HostClient.ts"
import type { HostInfo } from "../../src/host/HostFile.ts"
import * as Launcher from "../../src/host/Launcher.ts"
import * as NodeSearch from "../../src/host/NodeSearch.ts"
import { protocolVersion, type Welcome } from "../../src/host/Protocol.ts"
import * as StateDirectory from "../../src/store/StateDirectory.ts"
import { version } from "../../src/version.ts"
import { Editor, Log } from "./Editor.ts"
import { type HostAbout, type HostState, type Hosts, HostUnavailable, type Wish } from "./Hosts.ts"
import * as PriorWork from "./PriorWork.ts"

/** Beside the bundled extension. */
const program = fileURLToPath(new URL("./host.cjs", import.meta.url))

/** Is it a version before this one? */
const older = (other: string): boolean => other.localeCompare(version, undefined, { numeric: true }) < 0

export const make: Effect.Effect<Hosts["Service"], never, Editor | Log> = Effect.gen(function* () {
  const { l10n } = yield* Editor
  const log = yield* Log
  const place: StateDirectory.Place = { platform: process.platform, env: process.env, home: os.homedir() }
  const self = { path: process.execPath, electron: process.versions["electron"] !== undefined }
  const locate = (wish: Pick<Wish, "directory" | "stateDirectory">) => StateDirectory.locate(place, wish.directory, wish.stateDirectory)

  return {
    node: ({ nodePath }) =>
      Effect.map(NodeSearch.find({ place, self, ...(nodePath === undefined ? {} : { explicit: nodePath }) }), (node) => node.path),
    hasState: (wish) => Effect.sync(() => PriorWork.isIn(wish.directory, wish.stateDirectory)),
    connect: (wanted) =>
      Effect.gen(function* () {
        const wish = yield* wanted
        if (wish === undefined) return yield* Effect.interrupt
        const directory = yield* locate(wish)
        const copy = yield* Launcher.install(program, place)
        const launch: Effect.Effect<HostInfo, { readonly message: string }> = Effect.gen(function* () {
          const now = yield* wanted
          if (now === undefined) return yield* Effect.fail({ message: l10n.t("it was shut down") })
          log.debug(`looking for the host of ${directory}`)
          return yield* Launcher.launch({
            directory,
            place,
            self,
            program: copy,
            settings: { cwd: now.directory, config: now.config },
            ...(now.nodePath === undefined ? {} : { nodePath: now.nodePath })
          })
        })
        // Here it says with all details why there is none, and an old host that speaks another protocol is replaced.
        const info = yield* launch
        if (info.protocol !== protocolVersion) {
          if (!older(info.version)) {
            const detail = l10n.t("its host is of the newer version {0}: update NofX in this editor, and reload the window", info.version)
            return yield* new HostUnavailable({ directory: wish.directory, detail, passes: false })
          }
          const running = yield* Connection.retire(info)
          const detail = l10n.t("a host of version {0} is to be replaced; it still runs {1} tasks", info.version, running)
          return yield* new HostUnavailable({ directory: wish.directory, detail, passes: true })
        }
        const { client, runtime } = yield* HostClient.make({ directory, host: launch, name: "editor", onLeave: wish.onEditorClose })
        const about = (welcome: typeof Welcome.Type): HostAbout => ({
          stateDirectory: welcome.directory,
          about: [
            [l10n.t("Process"), String(welcome.pid)],
            [l10n.t("Version"), welcome.version],
            ["Node", welcome.node],
            [l10n.t("State"), welcome.directory]
          ],
          skew: welcome.version === version ? undefined : { host: welcome.version, own: version, older: older(welcome.version) }
        })
        return {
          runtime,
          states: Stream.map(
            client.states,
            (state): HostState =>
              state._tag === "Connected"
                ? { _tag: "Connected", about: about(state.welcome) }
                : { _tag: "Reconnecting", detail: state.detail }
          ),
          lost: client.lost,
          retire: client.retire,
          leaving: client.leaving
        }
      }).pipe(
        Effect.catch((cause) =>
          cause instanceof HostUnavailable
            ? Effect.fail(cause)
            : Effect.flatMap(wanted, (wish) =>
                Effect.fail(new HostUnavailable({ directory: wish?.directory ?? "", detail: cause.message, passes: false, cause }))
              )
        )
      )
  }
})
