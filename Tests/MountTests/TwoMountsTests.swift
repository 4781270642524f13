import Foundation
import Glibc
import TestSupport
import Testing

extension MountTests {
  /// Two mounts of one export that know nothing of each other.
  @Suite struct TwoMountsTests {
    private func withTwoMounts(by client: Client, _ body: (Mount, Mount) async throws -> Void) async throws {
      let options = ["--cache", "writethrough"]
      try await withTemporaryDirectory { directory in
        try await withServer(.nbdkit(["memory", "1M"]), in: directory) { server in
          try await client.mount(server, options: options, in: directory) { first in
            try await client.mount(server, options: options, in: directory) { second in try await body(first, second) }
          }
        }
      }
    }

    /// A read is no older than the last open.
    @Test(arguments: Client.all)
    func whatOneWritesTheOtherReads(_ client: Client) async throws {
      try await withTwoMounts(by: client) { first, second in
        for (writer, reader, byte) in [(first, second, "11"), (second, first, "22"), (first, second, "33")] {
          try await writer.succeed(xfsIO("pwrite -q -S 0x\(byte) 0 64k", on: writer.file))
          let read = try await reader.succeed(["od", "-An", "-v", "-w1", "-tx1", "-N", "65536", reader.file])
          #expect(Set(read.stdout.split(separator: "\n")) == [" \(byte)"])
        }
      }
    }

    /// In the mount table they are alike but for the place.
    @Test(arguments: Client.perEngine)
    func theEndOfOneIsNotTheEndOfTheOther(_ client: Client) async throws {
      try await withTwoMounts(by: client) { first, second in
        try await first.succeed(xfsIO("pwrite -q -S 0x11 0 64k", on: first.file))
        #expect(try await first.end(SIGTERM) == .success)
        #expect(first.entry == nil && second.entry != nil)
        let read = try await second.succeed(["od", "-An", "-tx1", "-N", "1", second.file])
        #expect(read.stdout == " 11\n")
      }
    }
  }
}
