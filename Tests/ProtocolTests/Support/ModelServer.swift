import Testing

@testable import NBDProtocol

/// A server in memory that carries out requests one at a time, in whatever order it is told to, and checks that each is
/// one which the export allows.
struct ModelServer {
  let export: Export
  private(set) var contents: [UInt8]
  /// What would be left after a power cut.
  private(set) var durable: [UInt8]
  private(set) var executed = 0

  init(_ export: Export, contents: [UInt8]) {
    self.export = export
    self.contents = contents
    durable = contents
  }

  /// Carries out `request` and returns the whole reply.
  mutating func execute(_ request: SeenRequest) -> [UInt8] {
    executed += 1
    let form: ChunkForm? = export.replies == .simple ? nil : export.replies == .structured ? .structured : .extended
    #expect(request.isExtended == (form == .extended))
    func allows(_ flag: TransmissionFlags) -> Bool { export.flags.contains(flag) }
    var range = 0..<0
    if request.command != SeenRequest.flush {
      let block = UInt64(export.blockSizes.minimum)
      #expect(request.length > 0 && request.offset % block == 0 && request.length % block == 0, "unaligned: \(request)")
      #expect(request.end <= export.size, "outside the export: \(request)")
      guard request.end <= export.size else { return [] }
      range = Int(request.offset)..<Int(request.end)
    }
    if request.flags & SeenRequest.fua != 0 { #expect(allows(.sendFUA), "FUA was not advertised") }
    switch request.command {
    case SeenRequest.read:
      #expect(request.length <= UInt64(export.blockSizes.maximumPayload))
      guard let form else { return Reply.simple(request.handle, Array(contents[range])) }
      return form.data(request, at: request.offset, Array(contents[range]), done: true)
    case SeenRequest.write:
      #expect(request.length <= UInt64(export.blockSizes.maximumPayload) && request.payload.count == range.count)
      contents.replaceSubrange(range, with: request.payload)
    case SeenRequest.flush:
      #expect(allows(.sendFlush) && request.offset == 0 && request.length == 0)
      durable = contents
    case SeenRequest.writeZeroes:
      #expect(allows(.sendWriteZeroes))
      contents.replaceSubrange(range, with: zeros(range.count))
    case SeenRequest.trim:
      #expect(allows(.sendTrim))
    case SeenRequest.cache:
      #expect(allows(.sendCache))
    default:
      Issue.record("unexpected \(request)")
    }
    if request.flags & SeenRequest.fua != 0 { durable.replaceSubrange(range, with: contents[range]) }
    return form.map { $0.done(request) } ?? Reply.simple(request.handle)
  }
}
