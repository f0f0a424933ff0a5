/**
 * The built-in profiles. The numbers are reasoned in `README.md` and were fixed before anything was measured with them; a change to one is a change
 * to what is claimed.
 */

/** Half a minute, three minutes, a quarter of an hour: a look, an edit, a feature. Two minutes in the mean. */
const kinds = [
  { name: "short", weight: 70, expected: "30 seconds", effects: { idempotent: 60, resumable: 30, unsafe: 10 } },
  { name: "medium", weight: 25, expected: "3 minutes", effects: { idempotent: 20, resumable: 70, unsafe: 10 } },
  { name: "long", weight: 5, expected: "15 minutes", effects: { idempotent: 10, resumable: 80, unsafe: 10 } }
]

const workload = { accounts: 2, tasksPerAgentHour: 15, kinds, pinned: 0.1, dependent: 0.03, cancelled: 0.002, checked: 1, poison: 0.001 }

const fiveHours = { window: "5 hours", leastLeft: 0.05, mostLeft: 0.7, named: 0.9 }

export const profiles = {
  calm: {
    description: "A paid account, a wired workstation, a good month of the provider.",
    workload,
    faults: {
      agent: {
        startFails: 0.002,
        crashEvery: "100 hours",
        hangEvery: "200 hours",
        slow: { share: 0.01, factor: 3 },
        corrupt: 0.0002,
        falseSuccess: 0.001
      },
      provider: {
        transientEvery: "24 hours",
        outage: { every: "14 days", length: "8 minutes" },
        overload: { every: "7 days", length: "10 minutes", refuses: 0.3 }
      },
      machine: {
        kill: { every: "14 days", restart: "10 seconds" },
        stall: { every: "24 hours", length: "2 seconds" }
      },
      person: { looksAfter: "15 minutes" }
    }
  },
  typical: {
    description: "What a team meets that runs agents all day: limits, outages of minutes several times a week, crashes, a laptop's lid.",
    workload: { ...workload, burst: { every: "2 days", tasks: 40 } },
    faults: {
      agent: {
        startFails: 0.01,
        crashEvery: "24 hours",
        hangEvery: "48 hours",
        slow: { share: 0.03, factor: 4 },
        corrupt: 0.001,
        falseSuccess: 0.005
      },
      provider: {
        transientEvery: "4 hours",
        outage: { every: "56 hours", length: "12 minutes" },
        overload: { every: "24 hours", length: "15 minutes", refuses: 0.5 },
        usageLimit: { every: "36 hours", ...fiveHours },
        authLoss: { every: "60 days", repair: "20 minutes" }
      },
      machine: {
        kill: { every: "56 hours", restart: "10 seconds" },
        suspend: { every: "17 hours", length: "30 minutes", breaks: 0.7 },
        clockStep: { every: "30 days", size: "2 minutes" },
        stall: { every: "17 hours", length: "3 seconds" },
        diskFull: { every: "90 days", length: "10 minutes" }
      },
      person: { looksAfter: "15 minutes" }
    }
  },
  stormy: {
    description: "A bad month: a provider with daily trouble, tight limits, a flaky agent, a machine that is used for other things too.",
    workload: { ...workload, burst: { every: "1 day", tasks: 100 }, poison: 0.005 },
    faults: {
      agent: {
        startFails: 0.05,
        crashEvery: "6 hours",
        hangEvery: "12 hours",
        slow: { share: 0.1, factor: 5 },
        corrupt: 0.005,
        falseSuccess: 0.02
      },
      provider: {
        transientEvery: "1 hour",
        outage: { every: "24 hours", length: "25 minutes" },
        overload: { every: "8 hours", length: "30 minutes", refuses: 0.6 },
        usageLimit: { every: "12 hours", ...fiveHours },
        authLoss: { every: "14 days", repair: "40 minutes" }
      },
      machine: {
        kill: { every: "12 hours", restart: "30 seconds" },
        suspend: { every: "8 hours", length: "1 hour", breaks: 0.9 },
        clockStep: { every: "7 days", size: "10 minutes" },
        stall: { every: "4 hours", length: "8 seconds" },
        diskFull: { every: "14 days", length: "20 minutes" }
      },
      person: { looksAfter: "30 minutes" }
    }
  },
  hostile: {
    description: "Everything at once, all the time: no machine is like this; it is there to find what breaks first.",
    workload: { ...workload, burst: { every: "6 hours", tasks: 200 }, poison: 0.02, checked: 0.95 },
    faults: {
      agent: {
        startFails: 0.2,
        crashEvery: "1 hour",
        hangEvery: "3 hours",
        slow: { share: 0.2, factor: 8 },
        corrupt: 0.02,
        falseSuccess: 0.05
      },
      provider: {
        transientEvery: "20 minutes",
        outage: { every: "8 hours", length: "45 minutes" },
        overload: { every: "3 hours", length: "45 minutes", refuses: 0.8 },
        usageLimit: { every: "6 hours", ...fiveHours, named: 0.5 },
        authLoss: { every: "4 days", repair: "90 minutes" }
      },
      machine: {
        kill: { every: "1 hour", restart: "1 minute" },
        suspend: { every: "3 hours", length: "2 hours", breaks: 1 },
        clockStep: { every: "12 hours", size: "1 hour" },
        stall: { every: "30 minutes", length: "30 seconds" },
        diskFull: { every: "24 hours", length: "30 minutes" }
      },
      person: { looksAfter: "1 hour" }
    }
  }
}

export type Name = keyof typeof profiles
export const names = Object.keys(profiles) as ReadonlyArray<Name>
