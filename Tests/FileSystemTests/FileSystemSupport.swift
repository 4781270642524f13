import Glibc

@testable import NBDMount
@testable import NBDProtocol

let kib: UInt64 = 1 << 10
let gib: UInt64 = 1 << 30

extension Export {
  /// An export whose server has everything.
  static func test(
    size: UInt64, flags: TransmissionFlags = .all, minimum: UInt32 = 1, contexts: [String] = [MetadataContext.baseAllocation],
    replies: ReplyForm = .structured
  ) -> Export {
    Export(
      name: "", size: size, flags: flags,
      blockSizes: BlockSizes(minimum: minimum, preferred: max(4096, minimum), maximumPayload: 1 << 25),
      contexts: contexts.enumerated().map { MetadataContext(id: UInt32($0.offset), name: $0.element) }, replies: replies)
  }
}

extension TransmissionFlags {
  static let all: TransmissionFlags = [
    .hasFlags, .sendFlush, .sendFUA, .sendTrim, .sendWriteZeroes, .canMultiConn, .sendCache, .sendFastZero,
  ]
}

extension FileLayout {
  convenience init(_ export: Export, filename: String? = "nbd", isReadOnly: Bool = false, shared: Bool = false) {
    self.init(
      filename: filename, export: export, isReadOnly: isReadOnly, shared: shared, umask: 0, uid: 1000, gid: 100)
  }
}

extension ExportFile {
  convenience init(
    _ export: Export, isReadOnly: Bool = false, cache: CacheMode = .writeback
  ) {
    self.init(export: export, layout: FileLayout(export, isReadOnly: isReadOnly), cache: cache)
  }
}

/// Extents of `base:allocation`, one after another from `start`: lengths, and whether they are holes.
func extents(from start: UInt64 = 0, _ runs: [(length: UInt64, isHole: Bool)]) -> [Extent] {
  var offset = start
  return runs.map { run in
    defer { offset += run.length }
    return Extent(offset: offset, length: run.length, status: run.isHole ? 3 : 0)
  }
}
