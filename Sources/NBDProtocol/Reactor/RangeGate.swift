import Synchronization

/// The gate that a mutating operation passes before it is given to a connection; one for all connections of an export.
///
/// A write whose caller no longer waits, or whose connection was given up, may still reach the disk at any time. A later write of
/// the same bytes must not be sent before the end of the earlier one is known, or the earlier one might overwrite it. So
/// whoever stops waiting for an operation *holds* its range first, and the reactors let wait what overlaps. What has passed
/// the gate is not stopped any more: it ran beside the other one while both were waited for, and so in either order. What is held for a
/// connection stops it again, wherever it goes: that may be an older write of the log that was being sent again, or a block that both
/// read, modify and write.
///
/// Held ranges are rare: while there are none, passing costs one load. Any thread may call any of this.
package final class RangeGate: Sendable {
  /// What ``hold(_:)-(Range<UInt64>)`` gave, for ``release(_:)``. Trivial, so that it can be kept anywhere.
  package struct Hold: Hashable, Sendable {
    fileprivate let ranges: HeldRanges.Hold
  }

  private struct State {
    var ranges: HeldRanges
    /// Of reactors that have operations waiting.
    var waiting: [Mailbox] = []

    /// Notes that the next release is to wake the reactor of `mailbox`. Always true.
    mutating func wake(_ mailbox: Mailbox) -> Bool {
      if !waiting.contains(where: { $0 === mailbox }) { waiting.append(mailbox) }
      return true
    }
  }
  private let state: Mutex<State>
  private let isHolding = Atomic<Bool>(false)

  package init(minimumBlock: UInt32) { state = Mutex(State(ranges: HeldRanges(minimumBlock: minimumBlock))) }

  /// Nothing is held.
  @inline(__always)
  package var isEmpty: Bool { !isHolding.load(ordering: .acquiring) }

  /// Holds `range`, in bytes, until ``release(_:)``. To be called before anybody learns that the operation there is no longer
  /// waited for.
  package func hold(_ range: Range<UInt64>) -> Hold { hold(CollectionOfOne(range), isOfConnection: false) }

  /// Holds several ranges together, because of what a connection has sent.
  package func hold(_ ranges: some Sequence<Range<UInt64>>) -> Hold { hold(ranges, isOfConnection: true) }

  private func hold(_ ranges: some Sequence<Range<UInt64>>, isOfConnection: Bool) -> Hold {
    state.withLock { state in
      let hold = state.ranges.hold(ranges, isOfConnection: isOfConnection)
      isHolding.store(!state.ranges.isEmpty, ordering: .releasing)
      return Hold(ranges: hold)
    }
  }

  /// The end of what was held is known: reactors look again at what they have waiting.
  package func release(_ hold: Hold) {
    let woken = state.withLock { state in
      state.ranges.release(hold.ranges)
      isHolding.store(!state.ranges.isEmpty, ordering: .releasing)
      defer { state.waiting.removeAll() }
      return state.waiting
    }
    for mailbox in woken { mailbox.gateChanged() }
  }

  /// Whether an operation on `range` has to wait.
  package func blocks(_ range: Range<UInt64>) -> Bool {
    !isEmpty && state.withLock { $0.ranges.blocks(range) }
  }

  /// The same; where it has to, the next ``release(_:)`` wakes the reactor of `mailbox`.
  func blocks(_ range: Range<UInt64>, waking mailbox: Mailbox) -> Bool {
    guard !isEmpty else { return false }
    return state.withLock { state in
      // In one with the look: no release may come in between.
      state.ranges.blocks(range) && state.wake(mailbox)
    }
  }

  /// Whether something that has passed has to wait nevertheless, for what a connection has sent over `range`; where it has to, the
  /// next ``release(_:)`` wakes the reactor of `mailbox`.
  func blocksAnew(_ range: Range<UInt64>, waking mailbox: Mailbox) -> Bool {
    guard !isEmpty else { return false }
    return state.withLock { state in
      state.ranges.blocks(range, ofConnections: true) && state.wake(mailbox)
    }
  }

  /// Whether `hold` was not released yet; then its release wakes the reactor of `mailbox`.
  func holds(_ hold: Hold, waking mailbox: Mailbox) -> Bool {
    guard !isEmpty else { return false }
    return state.withLock { state in state.ranges.contains(hold.ranges) && state.wake(mailbox) }
  }
}

extension Operation {
  /// The bytes that it is about. It lies inside the export, or its end is cut off.
  package var range: Range<UInt64> {
    let (end, overflow) = offset.addingReportingOverflow(length)
    return offset..<(overflow ? UInt64.max : end)
  }
}
