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
    guard Self.check(request, export) else { return [] }
    let form = export.replies.chunks
    let range = Int(request.offset)..<Int(request.end)
    switch request.command {
    case SeenRequest.read:
      guard let form else { return Reply.simple(request.handle, Array(contents[range])) }
      return form.data(request, at: request.offset, Array(contents[range]), done: true)
    case SeenRequest.write: contents.replaceSubrange(range, with: request.payload)
    case SeenRequest.flush: durable = contents
    case SeenRequest.writeZeroes: contents.replaceSubrange(range, with: zeros(range.count))
    default: break
    }
    if request.flags & SeenRequest.fua != 0 { durable.replaceSubrange(range, with: contents[range]) }
    return form.map { $0.done(request) } ?? Reply.simple(request.handle)
  }

  /// Faults for a request that the export does not allow, and returns whether it can be carried out.
  static func check(_ request: SeenRequest, _ export: Export) -> Bool {
    func require(_ flag: TransmissionFlags, _ what: String) {
      if !export.flags.contains(flag) { fault("\(what) was not advertised: \(request)") }
    }
    if request.isExtended != (export.replies == .extended) { fault("a header of the wrong form: \(request)") }
    if request.flags & SeenRequest.fua != 0 { require(.sendFUA, "FUA") }
    if request.flags & SeenRequest.dontFragment != 0 { require(.sendDF, "DF") }
    if request.flags & SeenRequest.fastZero != 0 { require(.sendFastZero, "FAST_ZERO") }
    if request.command == SeenRequest.flush {
      require(.sendFlush, "flush")
      if request.offset != 0 || request.length != 0 { fault("a flush with a range: \(request)") }
      return true
    }
    let block = UInt64(export.blockSizes.minimum)
    if request.length == 0 || request.offset % block != 0 || request.length % block != 0 { fault("unaligned: \(request)") }
    if [SeenRequest.read, SeenRequest.write, SeenRequest.cache].contains(request.command),
      request.length > UInt64(export.blockSizes.maximumPayload)
    {
      fault("too large: \(request)")
    }
    switch request.command {
    case SeenRequest.read: break
    case SeenRequest.write:
      if request.payload.count != Int(request.length) { fault("\(request.payload.count) bytes of payload: \(request)") }
    case SeenRequest.trim: require(.sendTrim, "trim")
    case SeenRequest.cache: require(.sendCache, "cache")
    case SeenRequest.writeZeroes: require(.sendWriteZeroes, "write zeroes")
    case SeenRequest.blockStatus: if export.contexts.isEmpty { fault("no context was negotiated: \(request)") }
    default: fault("unexpected \(request)")
    }
    let (end, overflow) = request.offset.addingReportingOverflow(request.length)
    guard !overflow, end <= export.size else {
      fault("outside the export: \(request)")
      return false
    }
    return true
  }
}
