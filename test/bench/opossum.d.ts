declare module "opossum" {
  /** The part that is measured. */
  export default class CircuitBreaker<Arguments extends Array<unknown>, A> {
    constructor(
      action: (...args: Arguments) => Promise<A>,
      options?: { timeout?: number | false; volumeThreshold?: number; rollingCountTimeout?: number; capacity?: number }
    )
    fire(...args: Arguments): Promise<A>
    open(): void
    shutdown(): void
  }
}
