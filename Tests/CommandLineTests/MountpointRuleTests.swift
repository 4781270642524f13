import Glibc
import NBDProtocol
import Testing

@testable import NBDMount

/// Which words are a mountpoint: a slip of the finger must not cover the directory that one is in.
@Suite struct MountpointRuleTests {
  /// What the refusal of `argument` says; nil where it is taken.
  private func refusal(_ argument: String) -> String? {
    do throws(NBDError) {
      _ = try Mountpoint(argument)
      return nil
    } catch { return "\(error)" }
  }

  @Test func aPlainNameThatDoesNotExistIsRefusedWithTheWayOut() {
    #expect(
      refusal("nbdmount-typo")
        == "no such directory: nbdmount-typo; make it first, or write ./nbdmount-typo to show the export as the file "
        + "nbdmount-typo in the current directory")
  }

  @Test(arguments: ["nbdmount-typo/", "nbdmount-typo/disk", "nbdmount-typo/.", "nbdmount-typo/.."])
  func aDirectoryThatDoesNotExistIsNamed(argument: String) {
    #expect(refusal(argument) == "no such directory: nbdmount-typo; make it first")
  }

  @Test(arguments: ["/", "//", "/nbdmount-new-file", "/tmp/.."])
  func theRootDirectoryIsNeverCovered(argument: String) {
    #expect(refusal(argument)?.contains("root directory") == true)
  }

  @Test func pathsAreComparedByTheirBytes() {
    // "é" as one scalar and as two: the same to Swift's ==, two directories to the kernel.
    let composed = "/m/\u{e9}"
    let decomposed = "/m/e\u{301}"
    let table = MountTable(
      text: "40 25 0:39 / \(composed) rw - fuse.nbdmount one rw\n41 25 0:40 / \(decomposed) rw - fuse.nbdmount two rw\n")
    #expect(table.mount(at: composed)?.source == "one")
    #expect(table.mount(at: decomposed)?.source == "two")
  }

  /// An accent after a separator makes one character of both, to Swift.
  @Test func theMountTableIsSplitByItsBytes() throws {
    let table = MountTable(text: "40 25 0:39 / /a\r\n41 25 0:40 / /b rw - fuse.nbdmount \u{301}name rw\n")
    #expect(table.mount(at: "/b")?.source == "\u{301}name")
  }

  @Test func theFileNameIsWhatFollowsTheLastSlash() throws {
    let directory = try TemporaryDirectory()
    let name = "\u{301}disk"
    #expect(try Mountpoint(directory(name)).shape == .directory(path: directory.path, filename: name))
  }
}
