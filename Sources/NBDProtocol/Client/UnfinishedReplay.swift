import Glibc

/// A connection that was given up while the log was sent over it. Its server has not hung up, and may carry out later what it has
/// received, over what is newer.
///
/// So that is held at the gate, for the connections that live, and the log is not sent again, before the server has hung up or must
/// be taken to have forgotten it.
final class UnfinishedReplay {
  private let channel: Channel
  private let gate: RangeGate
  private let hold: RangeGate.Hold
  private let until: UInt64
  /// The kernel has given the connection up: an end that it shows is not the server's.
  private var isBroken: Bool

  /// - Parameters:
  ///   - isBroken: the kernel has given the connection up.
  ///   - until: the time when the server must be taken to have forgotten it, in nanoseconds.
  /// - Returns: nil where the server may do nothing more.
  init?(
    _ channel: consuming Channel, isBroken: Bool, _ machine: borrowing TransmissionMachine, _ gate: RangeGate, until: UInt64
  ) {
    let ranges = machine.mutationsInFlight
    guard !ranges.isEmpty else { return nil }
    channel.endOutput()
    self.channel = channel
    self.gate = gate
    self.until = until
    self.isBroken = isBroken
    hold = gate.hold(ranges)
  }

  deinit { gate.release(hold) }

  /// To be waited on, until there is something to read; nil where there is only the time.
  var descriptor: Int32? { isBroken ? nil : channel.descriptor }

  /// Reads on. True when nothing more can happen.
  func hasEnded(at now: UInt64) -> Bool {
    guard now < until else { return true }
    while !isBroken {
      switch channel.drain() {
      case .moved: continue
      case .ended: return true
      case .broken(let error) where error.isFence: return true
      case .broken: isBroken = true
      case .notNow, .shortOfMemory: return false
      }
    }
    return false
  }
}
