import Glibc
import NBDProtocol
import Testing

@testable import NBDMount

@Suite struct MountpointTests {
  @Test func aDirectoryGetsNbd() throws {
    let directory = try TemporaryDirectory()
    let mountpoint = try Mountpoint(directory.path)
    #expect(mountpoint.shape == .directory(path: directory.path, filename: "nbd"))
    #expect(mountpoint.path == directory.path && mountpoint.exportPath == directory("nbd"))
    #expect(mountpoint.removedStaleMount == nil)
    #expect(try Mountpoint(directory.path + "/").shape == mountpoint.shape)
  }

  @Test func aRegularFileIsMountedOver() throws {
    let directory = try TemporaryDirectory()
    let file = try directory.write("x", to: "disk")
    let mountpoint = try Mountpoint(file)
    #expect(mountpoint.shape == .file(path: file))
    #expect(mountpoint.path == file && mountpoint.exportPath == file)
  }

  @Test func aDirectoryAndANewNameIsThatFile() throws {
    let directory = try TemporaryDirectory()
    #expect(try Mountpoint(directory("disk.img")).shape == .directory(path: directory.path, filename: "disk.img"))
    #expect(try Mountpoint("./nbdmount-no-such-file").shape == .directory(path: here(), filename: "nbdmount-no-such-file"))
  }

  @Test func linksAreResolvedBecauseTheMountTableKnowsNone() throws {
    let directory = try TemporaryDirectory()
    #expect(symlink(directory.path, directory("link")) == 0)
    #expect(try Mountpoint(directory("link")).path == directory.path)
    #expect(try Mountpoint(directory("link") + "/x").path == directory.path)
  }

  @Test func whatCannotBeMountedOnIsRefused() throws {
    let directory = try TemporaryDirectory()
    try directory.write("", to: "file")
    let long = String(repeating: "n", count: 256)
    let names = ["a/b", "new/", "file/x", long].map { directory($0) }
    for bad in ["/dev/null", "no-such-dir/.."] + names {
      #expect(throws: NBDError.self, "\(bad)") { try Mountpoint(bad) }
    }
  }

  @Test func theMountTableIsReadWithItsEscapes() {
    let table = MountTable(
      text: #"""
        25 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
        40 25 0:39 / /mnt/a\040b\134c rw,nosuid - fuse.nbdmount nbd://h/\043x rw,user_id=0
        41 25 0:40 / /mnt/x rw shared:2 master:3 - fuse /dev/fuse rw
        42 41 0:41 / /mnt/x rw - fuse.sshfs top rw
        nonsense
        43 25 0:x / /mnt/y rw - fuse y rw
        """#)
    #expect(table.entries.count == 4)
    let entry = table.mount(at: #"/mnt/a b\c"#)
    #expect(entry?.type == "fuse.nbdmount" && entry?.source == "nbd://h/#x")
    #expect(entry?.id == 40 && entry?.major == 0 && entry?.minor == 39)
    #expect(table.mount(at: "/mnt/x")?.minor == 41, "the upper mount hides the lower")
    #expect(table.mount(at: "/mnt") == nil)
  }

  @Test func aFuseConnectionIsFoundByItsMountpoint() throws {
    let table = MountTable(text: "40 25 0:39 / /m rw - fuse.nbdmount n rw\n41 25 0:5 / /t rw - tmpfs t rw\n")
    #expect(try MountPlaces(at: "/m", file: "", size: 0, in: table).entry.minor == 39)
    #expect(throws: NBDError.self) { try MountPlaces(at: "/t", file: "", size: 0, in: table) }
    #expect(throws: NBDError.self) { try MountPlaces(at: "/elsewhere", file: "", size: 0, in: table) }
    // No connection ever has this number: minors have 20 bits.
    #expect(throws: NBDError.self) { try FuseConnection(minor: .max).abort() }
  }

  @Test func theRootIsInTheRealTable() throws {
    #expect(try MountTable.current().mount(at: "/") != nil)
    // A file system that is no FUSE mount is not one to end.
    #expect(throws: NBDError.self) { try MountPlaces(at: "/", file: "", size: 0, in: .current()) }
    #expect(throws: NBDError.self) { try MountPlaces(at: "/", file: "", size: 0, in: MountTable(text: "")) }
  }
}

/// The current directory, free of symbolic links.
private func here() -> String {
  guard let path = getcwd(nil, 0) else { return "" }
  defer { free(path) }
  return String(cString: path)
}
