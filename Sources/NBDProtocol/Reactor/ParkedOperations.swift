/// Operations that were not sent yet, oldest first: mutating ones that wait at the export's ``RangeGate``, and any while there is
/// no connection.
///
/// They wait here, outside the machine, because another connection's reply may be what they wait for. Mutating ones that overlap
/// keep their order: the younger one waits for the older one too.
struct ParkedOperations {
  private var operations: [Operation] = []

  var isEmpty: Bool { operations.isEmpty }

  /// Whether one that waits touches a byte of `operation`.
  func overlaps(_ operation: Operation) -> Bool {
    operations.contains { $0.command.mutates && $0.range.overlaps(operation.range) }
  }

  mutating func append(_ operation: Operation) { operations.append(operation) }

  /// Takes out the oldest operation that `condition` holds for.
  mutating func removeFirst(where condition: (Operation) -> Bool) -> Operation? {
    operations.firstIndex(where: condition).map { operations.remove(at: $0) }
  }

  /// Takes out the oldest operation that waits for nothing any more.
  ///
  /// - Parameter isBlocked: whether the gate stops a mutating one.
  mutating func next(isBlocked: (Operation) -> Bool) -> Operation? {
    for index in operations.indices {
      let operation = operations[index]
      if operation.command.mutates {
        let isBehind = operations[..<index].contains { $0.command.mutates && $0.range.overlaps(operation.range) }
        if isBehind || isBlocked(operation) { continue }
      }
      return operations.remove(at: index)
    }
    return nil
  }

  /// Takes out all, oldest first.
  mutating func takeAll() -> [Operation] {
    defer { operations = [] }
    return operations
  }
}
