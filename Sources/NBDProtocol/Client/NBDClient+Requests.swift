/// The requests, blocking and async.
extension NBDClient {
  private static var token: Token { Token(.mailbox, 0) }

  // MARK: Read

  /// Reads `count` bytes from `offset` on. All or nothing: a range beyond the end throws
  /// ``NBDError/invalidArgument(_:)``.
  ///
  /// - Parameter flags: `.dontFragment` has the server send each piece in one chunk; where it cannot, it answers
  ///   ``NBDErrorCode/overflow``.
  public func read(at offset: UInt64, count: Int, flags: CommandFlags = []) throws(NBDError) -> [UInt8] {
    try checkRead(offset, count, flags)
    return try Self.collect(count) { buffer throws(NBDError) in try self.read(at: offset, into: buffer, flags: flags) }
  }

  /// Fills `buffer` from `offset` on.
  public func read(
    at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer, flags: CommandFlags = []
  ) throws(NBDError) {
    try connections.perform(Self.read(offset, buffer, flags))
  }

  /// Fills `buffer` from `offset` on. The memory must stay until this returns.
  public func read(
    at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer, flags: CommandFlags = []
  ) async throws(NBDError) {
    _ = try await connections.perform(Self.read(offset, buffer, flags))
  }

  /// Reads `count` bytes from `offset` on.
  public func read(at offset: UInt64, count: Int, flags: CommandFlags = []) async throws(NBDError) -> [UInt8] {
    try checkRead(offset, count, flags)
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 64)
    defer { buffer.deallocate() }
    try await read(at: offset, into: buffer, flags: flags)
    return Array(buffer)
  }

  /// Before memory is taken for it: what lies inside the export is the server's word, and what does not must not trap.
  private func checkRead(_ offset: UInt64, _ count: Int, _ flags: CommandFlags) throws(NBDError) {
    guard let length = UInt64(exactly: count) else { throw .invalidArgument("cannot read \(count) bytes") }
    try export.check(Operation(.read, flags: flags, offset: offset, length: length, token: Self.token))
  }

  // MARK: Write

  /// Writes `bytes` at `offset`. With `fua` it returns when they are on stable storage.
  public func write(_ bytes: [UInt8], at offset: UInt64, fua: Bool = false) throws(NBDError) {
    do {
      try bytes.withUnsafeBytes { try self.write($0, at: offset, fua: fua) }
    } catch let error as NBDError { throw error } catch { throw .invalidArgument("\(error)") }
  }

  /// Writes `buffer` at `offset`.
  public func write(_ buffer: UnsafeRawBufferPointer, at offset: UInt64, fua: Bool = false) throws(NBDError) {
    try connections.perform(Self.write(buffer, offset, fua))
  }

  /// Writes `buffer` at `offset`. The memory must stay as it is until this returns.
  public func write(_ buffer: UnsafeRawBufferPointer, at offset: UInt64, fua: Bool = false) async throws(NBDError) {
    _ = try await connections.perform(Self.write(buffer, offset, fua))
  }

  /// Writes `bytes` at `offset`.
  public func write(_ bytes: [UInt8], at offset: UInt64, fua: Bool = false) async throws(NBDError) {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 64)
    defer { buffer.deallocate() }
    buffer.copyBytes(from: bytes)
    try await write(UnsafeRawBufferPointer(buffer), at: offset, fua: fua)
  }

  // MARK: The others

  /// Makes every write that has returned durable (`NBD_CMD_FLUSH`), also those of other connections.
  public func flush() throws(NBDError) { try connections.perform(Operation(.flush, token: Self.token)) }

  /// Makes every write that has returned durable (`NBD_CMD_FLUSH`).
  public func flush() async throws(NBDError) { _ = try await connections.perform(Operation(.flush, token: Self.token)) }

  /// Tells the server that the bytes are not needed (`NBD_CMD_TRIM`). A hint: what they read as afterwards is
  /// unknown, and parts of a minimum block are left alone.
  public func trim(at offset: UInt64, length: UInt64, fua: Bool = false) throws(NBDError) {
    try connections.perform(Operation(.trim, flags: fua ? .fua : [], offset: offset, length: length, token: Self.token))
  }

  /// Tells the server that the bytes are not needed (`NBD_CMD_TRIM`).
  public func trim(at offset: UInt64, length: UInt64, fua: Bool = false) async throws(NBDError) {
    _ = try await connections.perform(
      Operation(.trim, flags: fua ? .fua : [], offset: offset, length: length, token: Self.token))
  }

  /// Makes the bytes read as zeros (`NBD_CMD_WRITE_ZEROES`, or written zeros where the server lacks it).
  ///
  /// - Parameter flags: `.fua`, `.noHole`, `.fastZero`. With `.fastZero` a server that is no faster than a write
  ///   answers ``NBDErrorCode/notSupported``.
  public func zero(at offset: UInt64, length: UInt64, flags: CommandFlags = []) throws(NBDError) {
    try connections.perform(Operation(.writeZeroes, flags: flags, offset: offset, length: length, token: Self.token))
  }

  /// Makes the bytes read as zeros (`NBD_CMD_WRITE_ZEROES`).
  public func zero(at offset: UInt64, length: UInt64, flags: CommandFlags = []) async throws(NBDError) {
    _ = try await connections.perform(
      Operation(.writeZeroes, flags: flags, offset: offset, length: length, token: Self.token))
  }

  /// Tells the server that the bytes will be read soon (`NBD_CMD_CACHE`).
  public func cache(at offset: UInt64, length: UInt64) throws(NBDError) {
    try connections.perform(Operation(.cache, offset: offset, length: length, token: Self.token))
  }

  /// Tells the server that the bytes will be read soon (`NBD_CMD_CACHE`).
  public func cache(at offset: UInt64, length: UInt64) async throws(NBDError) {
    _ = try await connections.perform(Operation(.cache, offset: offset, length: length, token: Self.token))
  }

  /// What the server knows about a range (`NBD_CMD_BLOCK_STATUS`), for one of the export's contexts.
  ///
  /// Extents are in order and without gaps from the start of the first whole block on; they may end before the range
  /// does: then ask again from there.
  ///
  /// - Throws: ``NBDError/unsupported(_:)`` where the context was not negotiated.
  public func blockStatus(
    at offset: UInt64, length: UInt64, context: String = MetadataContext.baseAllocation, onlyFirst: Bool = false
  ) throws(NBDError) -> [Extent] {
    try pick(context, try connections.perform(Self.status(offset, length, onlyFirst)))
  }

  /// What the server knows about a range (`NBD_CMD_BLOCK_STATUS`), for one of the export's contexts.
  public func blockStatus(
    at offset: UInt64, length: UInt64, context: String = MetadataContext.baseAllocation, onlyFirst: Bool = false
  ) async throws(NBDError) -> [Extent] {
    try pick(context, try await connections.perform(Self.status(offset, length, onlyFirst)))
  }

  // MARK: Operations

  private static func read(
    _ offset: UInt64, _ buffer: UnsafeMutableRawBufferPointer, _ flags: CommandFlags
  ) -> Operation {
    Operation(.read, flags: flags, offset: offset, length: UInt64(buffer.count), buffer: buffer.baseAddress, token: token)
  }

  private static func write(_ buffer: UnsafeRawBufferPointer, _ offset: UInt64, _ fua: Bool) -> Operation {
    Operation(
      .write, flags: fua ? .fua : [], offset: offset, length: UInt64(buffer.count),
      buffer: UnsafeMutableRawPointer(mutating: buffer.baseAddress), token: token)
  }

  private static func status(_ offset: UInt64, _ length: UInt64, _ onlyFirst: Bool) -> Operation {
    Operation(.blockStatus, flags: onlyFirst ? .requestOne : [], offset: offset, length: length, token: token)
  }

  private func pick(_ context: String, _ extents: [[Extent]]) throws(NBDError) -> [Extent] {
    guard let position = export.contexts.firstIndex(where: { $0.isNamed(context) }), position < extents.count else {
      throw .unsupported("the metadata context \(printable(context)) was not negotiated")
    }
    return extents[position]
  }

  private static func collect(
    _ count: Int, _ body: (UnsafeMutableRawBufferPointer) throws(NBDError) -> Void
  ) throws(NBDError) -> [UInt8] {
    guard count > 0 else { return [] }
    do {
      return try [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
        try body(UnsafeMutableRawBufferPointer(buffer))
        initialized = count
      }
    } catch let error as NBDError { throw error } catch { throw .invalidArgument("\(error)") }
  }
}
