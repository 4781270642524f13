import Glibc
import NBDProtocol
import Testing

@testable import NBDMount

/// What `--drop-privileges` is made of; MountTests/PrivilegeDropTests has the whole.
@Suite struct PrivilegeTests {
  private static let identity = ProcessIdentity(name: "nobody", user: 65534, group: 60, groups: [60, 7])
  private static let status = """
    Name:\tnbdmount
    Uid:\t65534\t65534\t65534\t65534
    Gid:\t60\t60\t60\t60
    Groups:\t7 60\u{20}
    CapInh:\t0000000000000000
    CapPrm:\t0000000000000000
    CapEff:\t0000000000000000
    CapBnd:\t000001ffffffffff
    CapAmb:\t0000000000000000
    NoNewPrivs:\t1
    """

  @Test func aThreadThatIsTheUserIsFound() {
    #expect(ThreadCredentials(Self.status).problem(as: Self.identity) == nil)
  }

  /// One number of the user or the group that is left, one group, one capability.
  @Test(arguments: [
    ("Uid:\t65534\t65534\t65534\t65534", "Uid:\t65534\t65534\t0\t65534"), ("Uid:\t65534", "Uid:\t0"), ("Uid:", "Vid:"),
    ("Gid:\t60\t60\t60\t60", "Gid:\t60\t60\t0\t60"), ("Groups:\t7 60", "Groups:\t0 7 60"), ("Groups:\t7 60", "Groups:\t7"),
    ("CapInh:\t0", "CapInh:\t1"), ("CapPrm:\t00", "CapPrm:\t01"), ("CapEff:\t00", "CapEff:\t20"), ("CapAmb:\t0", "CapAmb:\t4"),
    ("CapEff:", "CapXff:"), ("NoNewPrivs:\t1", "NoNewPrivs:\t0"), ("NoNewPrivs", "New"),
  ])
  func whateverIsLeftIsFound(part: String, instead: String) {
    let text = Self.status.replacing(part, with: instead)
    #expect(text != Self.status)
    #expect(ThreadCredentials(text).problem(as: Self.identity) != nil)
  }

  @Test func aUserIsKnownByNameOrNumber() throws {
    let root = try ProcessIdentity(named: "root")
    #expect(root.user == 0 && root.groups.contains(root.group))
    #expect(try ProcessIdentity(named: "0") == root)
    for unknown in ["nbdmount-no-such-user", "4294967290", "-1", "0x0", " 0", "nobody "] {
      #expect(throws: NBDError.self) { try ProcessIdentity(named: unknown) }
    }
  }

  // MARK: The monitor

  /// A mount that does not exist.
  private static let nowhere: MountPlaces = {
    let entry = MountTable.Entry(
      id: .max, major: 0, minor: .max, mountpoint: "/nbdmount-nowhere", type: "fuse.nbdmount", source: "x")
    var places = MountPlaces(entry, file: "/nbd", size: 1)
    places.endsWithTheFirst = true
    return places
  }()

  /// Our end of the socket of a monitor on a thread of its own.
  private func monitor(pidFile: String? = nil) throws -> Int32 {
    var ends: [Int32] = [-1, -1]
    try #require(socketpair(AF_UNIX, Int32(SOCK_SEQPACKET.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends) == 0)
    let theirs = ends[1]
    try POSIXThread.startDetached("a monitor") {
      MonitorProcess.serve(theirs, Self.nowhere, pidFile: pidFile, process: 4711)
      close(theirs)
    }
    return ends[0]
  }

  private func ask(_ socket: Int32, _ request: [UInt8]) throws -> (number: UInt8, result: HelperProcess.Result)? {
    #expect(send(socket, request, request.count, 0) == request.count)
    var answer = [UInt8](repeating: 0, count: MonitorMessage.answerSize)
    var event = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
    try #require(poll(&event, 1, 10_000) == 1)
    let count = recv(socket, &answer, answer.count, 0)
    return MonitorMessage.result(of: answer.prefix(max(count, 0)))
  }

  @Test func theMonitorTakesItsRequestsAndNoOthers() throws {
    let socket = try monitor()
    defer { close(socket) }
    let known = MountAction.allCases.map(\.rawValue) + [
      MonitorMessage.writePIDFile, MonitorMessage.removePIDFile, MonitorMessage.hello,
    ]
    for request in UInt8.min ... .max where request != MonitorMessage.cancel {
      let answer = try ask(socket, [request, request])
      #expect(answer?.number == request)
      #expect(answer?.result.succeeded == known.contains(request), "\(request): \(String(describing: answer))")
    }
  }

  /// Packets of other sizes, and words about requests that nobody has made, change nothing.
  @Test func theMonitorIgnoresWhatIsNoRequest() throws {
    let socket = try monitor()
    defer { close(socket) }
    for size in [1, 3, 4, 100, 5000] {
      let packet = [UInt8](repeating: 1, count: size)
      #expect(send(socket, packet, size, 0) == size)
    }
    for number in UInt8.min ... .max {
      let packet = [number, MonitorMessage.cancel]
      #expect(send(socket, packet, 2, 0) == 2)
    }
    #expect(try ask(socket, [9, MountAction.unmount.rawValue])?.number == 9)
  }

  @Test func theMonitorWritesAndRemovesThePIDFile() throws {
    let directory = try TemporaryDirectory()
    let socket = try monitor(pidFile: directory("pid"))
    defer { close(socket) }
    #expect(try ask(socket, [1, MonitorMessage.writePIDFile])?.result.succeeded == true)
    #expect(try readWholeFile(directory("pid")) == Array("4711\n".utf8))
    #expect(try ask(socket, [2, MonitorMessage.removePIDFile])?.result.succeeded == true)
    #expect(directory.names == [])
    // Once: whoever asks again may have been taken over.
    #expect(try ask(socket, [3, MonitorMessage.writePIDFile])?.result.succeeded == true)
    #expect(directory.names == [])
    let other = try monitor(pidFile: directory("no/such/pid"))
    defer { close(other) }
    let refused = try ask(other, [3, MonitorMessage.writePIDFile])
    #expect(refused?.result.explanation == "writing the pid file \(directory("no/such/pid")): No such file or directory")
  }

  @Test(
    arguments: [.exited(0), .exited(255), .killed(signal: 9), nil] as [ProcessEnd?],
    ["", "é\n", String(repeating: "x", count: 9000)])
  func answersComeThrough(end: ProcessEnd?, output: String) throws {
    let message = MonitorMessage.answer(7, HelperProcess.Result(end: end, output: output))
    #expect(message.count <= MonitorMessage.answerSize)
    let answer = try #require(MonitorMessage.result(of: message))
    #expect(answer.number == 7 && answer.result.end == end && output.hasPrefix(answer.result.output))
    #expect(answer.result.output.utf8.count == min(output.utf8.count, 4096))
    for size in 0..<MonitorMessage.answerHeader { #expect(MonitorMessage.result(of: message.prefix(size)) == nil) }
  }

  /// The number of a device is given again, and whose it is then is not ours to unmount.
  @Test func aMonitorsMountEndsWithTheFirst() throws {
    let root = try #require(try MountTable.current().mount(at: "/"))
    func places(_ change: (inout MountTable.Entry) -> Void, endsWithTheFirst: Bool) -> Int {
      var entry = root
      change(&entry)
      var places = MountPlaces(entry, file: "", size: 0)
      places.endsWithTheFirst = endsWithTheFirst
      return places.present.count
    }
    for isMonitors in [true, false] { #expect(places({ _ in }, endsWithTheFirst: isMonitors) > 0) }
    let changes: [(inout MountTable.Entry) -> Void] = [{ $0.id = .max }, { $0.source += "x" }, { $0.type += "x" }]
    var gone = root
    gone.id = .max
    var left = MountPlaces(gone, file: "", size: 0)
    left.endsWithTheFirst = true
    for action in MountAction.allCases {
      let result = try left.carryOut(action) { .seconds(10) }
      #expect(result.end == .exited(Helper.unreachable), "\(action)")
    }
    for change in changes {
      #expect(places(change, endsWithTheFirst: true) == 0)
      #expect(places(change, endsWithTheFirst: false) > 0)
    }
  }
}
