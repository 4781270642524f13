import CLinux
import Glibc

@testable import NBDProtocol

/// The requests of a mount, in one queue, as the kernel keeps them for all clones of /dev/fuse.
final class SimulatedSource: RequestSource {
  /// Numbers of operations that no reactor has read yet; its descriptor is readable while there are any.
  final class Queue {
    fileprivate let readiness: OwnedDescriptor
    fileprivate var numbers: [Int] = []

    init() throws {
      let descriptor = eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))
      guard descriptor >= 0 else { throw NBDError.invalidArgument("no eventfd: \(errno)") }
      readiness = OwnedDescriptor(descriptor)
    }

    func append(_ number: Int) {
      numbers.append(number)
      eventfd_write(readiness.rawValue, 1)
    }

    fileprivate func removeFirst() {
      numbers.removeFirst()
      var count: eventfd_t = 0
      if numbers.isEmpty { eventfd_read(readiness.rawValue, &count) }
    }
  }

  private unowned let client: SimulatedClient
  private let queue: Queue
  private var read = 0

  init(_ client: SimulatedClient, _ queue: Queue) {
    self.client = client
    self.queue = queue
  }

  var descriptor: Int32 { queue.readiness.rawValue }
  var hasRequests: Bool { read > 0 }
  func watch(_ loop: inout ReactorLoop) {}

  func readRequests(_ loop: inout ReactorLoop) -> RequestReading {
    var count = 0
    while let number = queue.numbers.first {
      guard let given = client.inFlight[number] else { return .drained(count) }
      var operation = given.operation(Token(.source, UInt(number)))
      // Small reads are answered from the receive buffer.
      if operation.command == .read { operation.buffer = nil }
      switch loop.submit(operation) {
      case .full: return .blocked(count)
      case .accepted:
        read += 1
        queue.removeFirst()
      case .lost:
        queue.removeFirst()
        client.end(number, .connectionLost, data: nil)
      }
      count += 1
    }
    return .drained(count)
  }

  func complete(_ completion: Completion, extents: [[Extent]], _ loop: inout ReactorLoop) {
    read -= 1
    client.end(Int(completion.token.value), completion.outcome, data: completion.data)
  }

  func buffer(for token: Token, length: UInt64) -> UnsafeMutableRawPointer {
    guard let operation = client.inFlight[Int(token.value)], let place = operation.buffer.baseAddress else {
      preconditionFailure("a buffer for operation \(token.value), which nobody waits for")
    }
    return place
  }

  func isWanted(_ token: Token) -> Bool { client.inFlight[Int(token.value)] != nil }
}
