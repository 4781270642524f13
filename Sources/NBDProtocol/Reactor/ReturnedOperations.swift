/// Operations that a connection could not finish, until another one carries them out. Oldest first.
///
/// They have passed the export's ``RangeGate`` once, and do not wait for what callers hold there; but one that may still act must not
/// meet itself: it waits until its old connection is *fenced*, which is when what that connection held is released. Nor may it meet
/// what another connection may still do, which may be older.
struct ReturnedOperations {
  private struct Entry {
    var operation: Operation
    /// What the connection holds over which it was sent.
    var fence: RangeGate.Hold?
    /// How it ends where there will be no other connection.
    var outcome: Outcome
  }
  private var entries: [Entry] = []

  var isEmpty: Bool { entries.isEmpty }

  /// - Parameters:
  ///   - fence: what its connection holds; nil where that is fenced already.
  ///   - outcome: how it ends where there will be no other connection.
  mutating func append(_ returned: ReturnedOperation, fence: RangeGate.Hold?, outcome: Outcome) {
    entries.append(
      Entry(operation: returned.operation, fence: returned.mayStillAct ? fence : nil, outcome: outcome))
  }

  /// Takes out the oldest one that waits for nothing.
  ///
  /// - Parameters:
  ///   - isHeld: whether a fence is still up.
  ///   - isBlocked: whether it has to wait for others.
  mutating func next(isHeld: (RangeGate.Hold) -> Bool, isBlocked: (Operation) -> Bool = { _ in false }) -> Operation? {
    let index = entries.firstIndex { entry in !(entry.fence.map(isHeld) ?? false) && !isBlocked(entry.operation) }
    return index.map { entries.remove(at: $0).operation }
  }

  /// Puts one back that ``next(isHeld:)`` gave.
  mutating func putBack(_ operation: Operation) {
    entries.insert(Entry(operation: operation, outcome: .connectionLost), at: 0)
  }

  /// Takes out the first one that `condition` holds for.
  mutating func removeFirst(where condition: (Operation) -> Bool) -> Operation? {
    entries.firstIndex { condition($0.operation) }.map { entries.remove(at: $0).operation }
  }

  /// Takes out all, each with how it ends.
  mutating func takeAll() -> [(Operation, Outcome)] {
    defer { entries = [] }
    return entries.map { ($0.operation, $0.outcome) }
  }
}
