import Glibc
import Testing

@testable import NBDMount
@testable import NBDProtocol

@Suite struct FileLayoutTests {
  private let export = Export.test(size: 10 * kib)

  @Test func aFileInADirectory() throws {
    let layout = FileLayout(export)
    let file = try #require(layout.attributes(of: layout.file, allocated: 5000))
    #expect(file.st_mode == S_IFREG | 0o600 && file.st_size == 10240 && file.st_nlink == 1)
    #expect(file.st_uid == 1000 && file.st_gid == 100)
    #expect(file.st_blocks == 10, "whole blocks of 512")
    let root = try #require(layout.attributes(of: FileLayout.root, allocated: 0))
    #expect(root.st_mode == S_IFDIR | 0o755)
    #expect(layout.attributes(of: 3, allocated: 0) == nil)
  }

  @Test func aFileByItselfIsTheRoot() throws {
    let layout = FileLayout(export, filename: nil)
    #expect(layout.file == FileLayout.root)
    let file = try #require(layout.attributes(of: FileLayout.root, allocated: 0))
    #expect(file.st_mode & S_IFMT == S_IFREG)
    #expect(layout.attributes(of: 2, allocated: 0) == nil)
  }

  @Test(arguments: [(false, false, 0o600), (true, false, 0o400), (false, true, 0o666), (true, true, 0o444)] as [(Bool, Bool, mode_t)])
  func modesSayWhoMayDoWhat(isReadOnly: Bool, shared: Bool, mode: mode_t) throws {
    let layout = FileLayout(export, isReadOnly: isReadOnly, shared: shared)
    let file = try #require(layout.attributes(of: layout.file, allocated: 0))
    #expect(file.st_mode & 0o777 == mode)
  }

  @Test func theTailThatNoRequestCanNameIsNotThere() {
    #expect(FileLayout(.test(size: 10_000, minimum: 4096)).size == 8192)
  }

  @Test func blocksInUseAreNeverMoreThanTheSize() throws {
    let layout = FileLayout(export)
    #expect(try #require(layout.attributes(of: layout.file, allocated: .max)).st_blocks == 20)
  }

  @Test func theOwnerMayChangeModeAndOwner() throws {
    let layout = FileLayout(export)
    layout.change(FileLayout.Change(mode: S_IFREG | 0o640, uid: 7, gid: 8))
    let file = try #require(layout.attributes(of: layout.file, allocated: 0))
    #expect(file.st_mode == S_IFREG | 0o640 && file.st_uid == 7 && file.st_gid == 8)
  }

  @Test func timesAreSetToWhatIsAskedForAndToNow() throws {
    let layout = FileLayout(export)
    let old = timespec(tv_sec: 1_000_000_000, tv_nsec: 5)
    layout.change(FileLayout.Change(accessed: .at(old), modified: .at(old)))
    var file = try #require(layout.attributes(of: layout.file, allocated: 0))
    #expect(file.st_atim.tv_sec == old.tv_sec && file.st_mtim.tv_nsec == 5)
    #expect(file.st_ctim.tv_sec > old.tv_sec, "the time of the change itself is now")
    layout.change(FileLayout.Change(modified: .now))
    file = try #require(layout.attributes(of: layout.file, allocated: 0))
    #expect(file.st_mtim.tv_sec > old.tv_sec && file.st_atim.tv_sec == old.tv_sec)
  }

  @Test func aWriteSetsTheModificationTime() throws {
    let layout = FileLayout(export)
    layout.change(FileLayout.Change(modified: .at(timespec(tv_sec: 1, tv_nsec: 0))))
    layout.touch()
    #expect(try #require(layout.attributes(of: layout.file, allocated: 0)).st_mtim.tv_sec > 1)
  }
}
