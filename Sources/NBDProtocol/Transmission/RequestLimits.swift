/// How large one command may be, and how it must be aligned (*Size constraints*).
struct RequestLimits {
  /// Minimum block size in bytes; a power of two.
  let block: UInt64
  /// Most payload bytes of one command, a multiple of ``block``. Servers hold `NBD_CMD_CACHE` to it, too.
  let payload: UInt64
  /// Most bytes of one read, a multiple of ``block``: ``payload``, until the server finds that too much.
  private(set) var read: UInt64
  /// Most bytes that one command without payload may affect, a multiple of ``block``; ``payload`` once the server has found
  /// more too much.
  private(set) var effect: UInt64
  /// Most bytes that one block status request may ask about.
  let status: UInt64
  /// Size of the export in bytes, in whole blocks.
  let exportSize: UInt64
  /// FUA was not advertised: a flush after the write takes its place.
  let emulatesFUA: Bool
  /// `NBD_CMD_WRITE_ZEROES` was not advertised: zeros are written.
  let emulatesZeroes: Bool

  init(_ export: Export) {
    let sizes = export.blockSizes
    block = UInt64(max(sizes.minimum, 1))
    // Split at multiples of the preferred block where the maximum allows one, of the minimum otherwise.
    let maximum = UInt64(min(sizes.maximumPayload, Limits.payload))
    let preferred = UInt64(max(sizes.preferred, 1))
    let unit = maximum >= preferred ? preferred : block
    payload = max(maximum / unit * unit, block)
    read = payload
    effect = UInt64(UInt32.max) & ~(UInt64(Limits.minimumBlockSize) - 1)
    status = export.replies == .extended ? UInt64(Int64.max) & ~(UInt64(Limits.minimumBlockSize) - 1) : effect
    exportSize = export.reachableSize
    emulatesFUA = !export.flags.contains(.sendFUA)
    emulatesZeroes = !export.flags.contains(.sendWriteZeroes)
  }

  @inline(__always)
  func isAligned(_ value: UInt64) -> Bool { value & (block - 1) == 0 }

  /// The largest multiple of the block that is not above `value`.
  func alignedDown(_ value: UInt64) -> UInt64 { value & ~(block - 1) }

  /// The smallest multiple of the block that is not below `value`, or the export's end if that comes first.
  func alignedUp(_ value: UInt64) -> UInt64 {
    let (sum, overflow) = value.addingReportingOverflow(block - 1)
    return overflow ? exportSize : min(sum & ~(block - 1), exportSize)
  }

  /// Whether one command does the whole operation.
  ///
  /// On a server with a minimum block above one byte, no mutating operation does: each of them has to be ordered with
  /// the read-modify-write of its neighbours, which the transfers do.
  @inline(__always)
  func fitsOneCommand(_ operation: Operation) -> Bool {
    let needsFlush = emulatesFUA && operation.flags.contains(.fua)
    switch operation.command {
    case .read:
      return operation.length <= read && isAligned(operation.offset | operation.length)
    case .write:
      return block == 1 && operation.length <= payload && !needsFlush
    case .writeZeroes:
      return block == 1 && operation.length <= effect && !needsFlush && !emulatesZeroes
    case .trim:
      return block == 1 && operation.length <= effect && !needsFlush
    case .cache:
      return wireRange(of: operation).length <= payload
    case .flush:
      // A flush waits for the one before it, which the transfers do.
      return false
    case .blockStatus, .disconnect:
      return true
    }
  }

  /// The range to ask for. Where a wider one does no harm, it is widened to whole blocks; a block status request is
  /// cut to what one command can ask about, since a reply may cover less anyway.
  @inline(__always)
  func wireRange(of operation: Operation) -> (offset: UInt64, length: UInt64) {
    guard operation.command == .blockStatus || operation.command == .cache else {
      return (operation.offset, operation.length)
    }
    let start = alignedDown(operation.offset)
    let end = alignedUp(operation.offset + operation.length)
    return (start, operation.command == .cache ? end - start : min(end - start, status))
  }

  /// The server may have found `command` too large: it "MAY reply NBD_EOVERFLOW or NBD_EINVAL if the oversize request would
  /// require too many server resources" (*Size constraints*).
  func mayBeTooLarge(_ command: CommandSlot) -> Bool {
    switch command.command {
    case .trim, .writeZeroes:
      (command.error == .overflow || command.error == .invalidArgument) && command.length > payload
    case .read:
      // With NBD_CMD_FLAG_DF the same error means that one chunk cannot hold the data, which the caller asked to know.
      command.error == .overflow && !command.flags.contains(.dontFragment) && command.length > smallestRead
    case .write, .cache, .flush, .blockStatus, .disconnect: false
    }
  }

  /// Bytes below which no read is split.
  private var smallestRead: UInt64 { max(block, TransmissionMachine.largestInPlace) }

  /// Learns from the error of `command`. True where ``mayBeTooLarge(_:)``: the range is to be tried again in smaller commands.
  /// So one command pays for all.
  mutating func lower(for command: CommandSlot) -> Bool {
    guard mayBeTooLarge(command) else { return false }
    if command.command == .read {
      read = min(read, max(alignedDown(command.length / 2), smallestRead))
    } else {
      effect = payload
    }
    return true
  }
}
