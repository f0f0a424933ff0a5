/** A circuit breaker as the claims describe it, as naive as possible: it walks through time millisecond by millisecond and keeps every call. */
import type * as CircuitBreaker from "../../src/reliability/CircuitBreaker.ts"
import { Duration } from "effect"

interface ModelCall {
  readonly episode: number
  readonly probe: boolean
  readonly startedAt: number
  ended: boolean
}

export class BreakerModel {
  now = 0
  state: CircuitBreaker.BreakerPhase = "closed"
  failures = 0
  openings = 0
  until = 0
  successes = 0
  /** Changes with each transition. */
  episode = 0
  readonly counts = { succeeded: 0, failed: 0, ignored: 0, rejected: 0 }
  readonly transitions: Array<string> = []
  readonly calls: Array<ModelCall> = []
  /** Every counted outcome of the present closed time. */
  history: Array<{ readonly at: number; readonly failed: boolean; readonly slow: boolean }> = []
  readonly options: CircuitBreaker.Options

  constructor(options: CircuitBreaker.Options) {
    this.options = options
  }

  get inFlight(): number {
    return this.calls.filter((call) => !call.ended).length
  }

  get running(): number {
    return this.calls.filter((call) => call.probe && !call.ended).length
  }

  move(to: CircuitBreaker.BreakerPhase): void {
    this.transitions.push(`${this.state} > ${to} at ${this.now}`)
    this.state = to
    this.episode++
    this.successes = 0
    if (to === "open") {
      this.openings++
      const { maxOpenTime, openTime, openTimeFactor } = this.options
      let millis = Duration.toMillis(openTime)
      for (let n = 1; n < this.openings; n++) millis = Math.min(Duration.toMillis(maxOpenTime), millis * openTimeFactor)
      this.until = this.now + millis
    }
    if (to === "closed") {
      this.failures = 0
      this.openings = 0
    }
    if (to === "closed" || to === "open") this.history = []
  }

  wait(millis: number): void {
    for (let tick = 0; tick < millis; tick++) {
      this.now++
      if (this.state === "open" && this.now >= this.until) this.move("half-open")
      for (const call of this.calls) {
        if (!call.probe || call.ended || this.now < call.startedAt + Duration.toMillis(this.options.probeTimeLimit)) continue
        call.ended = true
        this.counts.failed++
        if (call.episode === this.episode && this.state === "half-open") {
          this.failures++
          this.move("open")
        }
      }
    }
  }

  start(): ModelCall | undefined {
    if (this.state === "closed" || (this.state === "half-open" && this.running < this.options.probes)) {
      const call = { episode: this.episode, probe: this.state === "half-open", startedAt: this.now, ended: false }
      this.calls.push(call)
      return call
    }
    this.counts.rejected++
    return undefined
  }

  end(call: ModelCall, outcome: CircuitBreaker.Outcome): void {
    if (call.ended) return
    call.ended = true
    this.counts[outcome === "success" ? "succeeded" : outcome === "failure" ? "failed" : "ignored"]++
    if (call.episode !== this.episode || outcome === "ignored") return
    const { slowCalls } = this.options
    const slow = slowCalls !== undefined && this.now - call.startedAt >= Duration.toMillis(slowCalls.duration)
    const failed = outcome === "failure"
    if (this.state === "half-open") {
      if (failed) this.failures++
      if (failed || slow) this.move("open")
      else if (++this.successes === this.options.probeSuccesses) this.move("closed")
      return
    }
    this.failures = failed ? this.failures + 1 : 0
    this.history.push({ at: this.now, failed, slow })
    if (this.trips()) this.move("open")
  }

  trips(): boolean {
    const { consecutiveFailures, countWindow, slowCalls, timeWindow } = this.options
    if (consecutiveFailures > 0 && this.failures >= consecutiveFailures) return true
    const exceeds = (rule: { readonly failureRate: number; readonly minimumCalls: number }, calls: BreakerModel["history"]): boolean =>
      calls.length >= rule.minimumCalls &&
      (calls.filter((call) => call.failed).length / calls.length >= rule.failureRate ||
        (slowCalls !== undefined && calls.filter((call) => call.slow).length / calls.length >= slowCalls.rate))
    return (
      (countWindow !== undefined && exceeds(countWindow, this.history.slice(-countWindow.size))) ||
      (timeWindow !== undefined &&
        exceeds(
          timeWindow,
          this.history.filter((call) => this.now - call.at < Duration.toMillis(timeWindow.duration))
        ))
    )
  }

  isolate(): void {
    if (this.state !== "isolated") this.move("isolated")
  }

  release(): void {
    if (this.state === "isolated") this.move("closed")
  }

  reset(): void {
    if (this.state !== "closed") return this.move("closed")
    this.failures = 0
    this.history = []
  }

  check(healthy: boolean): void {
    if (this.state === "open" && healthy) this.move("half-open")
    else if (this.state === "half-open" && !healthy) this.move("open")
  }
}
