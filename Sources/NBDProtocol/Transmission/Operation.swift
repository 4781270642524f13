/// What a user of the library asks for, and what comes back.
///
/// An operation is free of the server's limits: any offset, any length inside the export. The machine makes
/// commands of it: one where that is possible, several where it is larger than the server's maximum payload or not
/// aligned to its minimum block. The memory that it points to stays its submitter's: see Docs/memory.md.
package struct Operation {
  /// What is to be done. ``Command/disconnect`` is not an operation.
  package var command: Command
  /// `.fua`, `.noHole`, `.fastZero`, `.requestOne`, `.dontFragment`, as they suit the command.
  package var flags: CommandFlags
  /// Bytes from the start of the export.
  package var offset: UInt64
  /// Bytes.
  package var length: UInt64
  /// Where read data goes, or where written data lies, until the operation's end. May be nil for a read: then the completion
  /// points at the data, or the machine asks for a buffer when it needs one.
  package var buffer: UnsafeMutableRawPointer?
  /// Comes back in the completion.
  package var token: Token
  /// A flush on our own account, for the sake of the ``WriteLog``: that it failed, nobody is told by its completion.
  var isForLog = false

  package init(
    _ command: Command, flags: CommandFlags = [], offset: UInt64 = 0, length: UInt64 = 0,
    buffer: UnsafeMutableRawPointer? = nil, token: Token
  ) {
    self.command = command
    self.flags = flags
    self.offset = offset
    self.length = length
    self.buffer = buffer
    self.token = token
  }
}

/// Who waits for an operation: a number that means something to its submitter only.
package struct Token: Hashable, Sendable {
  /// Which of a reactor's two sides submitted it.
  package enum Origin: UInt8, Sendable {
    /// Another thread, through the mailbox.
    case mailbox
    /// The reactor's own request source, on its own thread.
    case source
    /// The reactor itself.
    case reactor
  }
  package var origin: Origin
  package var value: UInt

  package init(_ origin: Origin, _ value: UInt) {
    self.origin = origin
    self.value = value
  }
}

/// The end of an operation.
package struct Completion {
  package var token: Token
  package var outcome: Outcome
  /// A successful read that had no buffer of its own: its bytes, valid until the machine is called again. They and the
  /// ``headerRoom`` bytes in front of them, where the reply's header was, may be overwritten until then.
  package var data: UnsafeMutableRawPointer?
  /// A successful block status: ``TransmissionMachine/takeExtents(_:)`` has its extents.
  package var hasExtents = false
  /// A successful write whose buffer, which it had lent, the ``WriteLog`` keeps: the one that its submitter has from now on.
  package var replacement: UnsafeMutableRawPointer?

  /// Bytes in front of ``data`` that are free: the size of the shortest reply header.
  package static let headerRoom = 16
}

/// An operation that a connection could not finish, as it was submitted: another one may carry it out.
package struct ReturnedOperation {
  /// What the server may have done, or do, about it.
  package enum Fate: Hashable, Sendable {
    /// Nothing: it never left, or the server has refused it.
    case unsent
    /// Anything: it was sent, at least in part, and has no reply.
    case inDoubt
  }
  package var operation: Operation
  package var fate: Fate

  /// It may change the export yet, however late.
  package var mayStillAct: Bool { fate == .inDoubt && operation.command.mutates }
}

/// How an operation or a command ended. Trivial, so that it moves without reference counting.
package enum Outcome: Hashable, Sendable {
  case success
  /// The server's error.
  case failed(NBDErrorCode)
  /// The caller gave it up before it was sent.
  case abandoned
  /// The connection ended first.
  case connectionLost

  @inline(__always)
  package var isSuccess: Bool {
    if case .success = self { true } else { false }
  }
}

extension Export {
  /// The bytes that requests can name: ``size``, down to a whole number of minimum blocks. A server whose export has more
  /// leaves a client "unable to access the final few bytes" (*Size constraints*).
  package var reachableSize: UInt64 { size - size % UInt64(max(blockSizes.minimum, 1)) }

  /// `.fua` can be kept: by the server's FUA, or by a flush that follows.
  package var canBeDurable: Bool { flags.contains(.sendFUA) || flags.contains(.sendFlush) }

  /// Whether `operation` may be carried out at all: inside the export, advertised or emulated, not mutating
  /// a read-only export. What fails here was not sent (*Size constraints*, *Transmission flags*).
  package func check(_ operation: Operation) throws(NBDError) {
    let (end, overflow) = operation.offset.addingReportingOverflow(operation.length)
    guard !overflow, end <= size else {
      throw .invalidArgument(
        "\(operation.command) at \(operation.offset) for \(operation.length) bytes ends beyond the export's \(size) bytes")
    }
    // Hints and questions are cut to what can be reached, as long as something is left of them.
    let isCut = operation.command == .trim || operation.command == .cache || operation.command == .blockStatus
    guard (isCut && operation.offset < reachableSize) || end <= reachableSize else {
      throw .invalidArgument(
        "the last \(size - reachableSize) bytes of the export are less than one block of \(blockSizes.minimum) bytes and cannot be accessed")
    }
    if operation.command.mutates, isReadOnly { throw .readOnly }
    switch operation.command {
    case .read, .writeZeroes: break
    case .disconnect: throw .invalidArgument("\(operation.command) is no operation")
    case .write:
      guard operation.buffer != nil || operation.length == 0 else { throw .invalidArgument("a write without data") }
    case .flush:
      guard operation.offset == 0, operation.length == 0 else { throw .invalidArgument("a flush has no range") }
      guard flags.contains(.sendFlush) else { throw .unsupported("the server does not support flush") }
    case .trim:
      guard flags.contains(.sendTrim) else { throw .unsupported("the server does not support trim") }
    case .cache:
      guard flags.contains(.sendCache) else { throw .unsupported("the server does not support cache") }
    case .blockStatus:
      guard !contexts.isEmpty else { throw .unsupported("no metadata context was negotiated") }
    }
    if operation.flags.contains(.fua), !canBeDurable {
      throw .unsupported("the server supports neither FUA nor flush")
    }
    if operation.flags.contains(.fastZero), !flags.contains(.sendFastZero) {
      throw .unsupported("the server does not support fast zero")
    }
    if operation.flags.contains(.dontFragment), !flags.contains(.sendDF) {
      throw .unsupported("the server does not support unfragmented reads")
    }
    guard operation.flags.isSubset(of: operation.command.allowedFlags) else {
      throw .invalidArgument("\(operation.command) does not take the flags \(operation.flags)")
    }
  }
}

extension Command {
  /// Whether such operations wait for each other, for which all of an export have to go to one connection: flushes, and on a
  /// server with a minimum block of more than one byte, mutating ones. See ``Transfer``.
  @inline(__always)
  func isOrdered(block: UInt64) -> Bool { self == .flush || (block > 1 && mutates) }

  /// The flags that the specification documents for this command (*Command flags*).
  var allowedFlags: CommandFlags {
    switch self {
    case .read: .dontFragment
    case .write, .trim: .fua
    case .writeZeroes: [.fua, .noHole, .fastZero]
    case .blockStatus: .requestOne
    case .flush, .cache, .disconnect: []
    }
  }
}
