import Testing

@testable import NBDMount

@Suite struct FuseOptionsTests {
  @Test(arguments: [
    ("a,b=c", ["a", "b=c"]), ("", []), (",,a,", ["a"]),
    (#"fsname=a\,b,c"#, ["fsname=a,b", "c"]), (#"a\\b"#, [#"a\b"#]), (#"a\054b"#, ["a,b"]),
    (#"a\0"#, ["a0"]), (#"a\05,b"#, ["a05", "b"]), (#"a\"#, [#"a\"#]), (#"a\\,b"#, [#"a\"#, "b"]),
    (#"a\303\251"#, ["a\u{e9}"]), (#"\\054"#, [#"\054"#]),
  ])
  func listsAreSplitAsLibfuseDoes(text: String, options: [String]) {
    #expect(FuseOptionList.split(text) == options)
  }

  @Test(arguments: ["plain", "a,b", #"a\b"#, #"\054"#, #"\,\"#, "fsname=nbd://h/a,b"])
  func quotingIsReadBackWhole(option: String) {
    #expect(FuseOptionList.split(FuseOptionList.quote(option)) == [option])
  }

  @Test func typedValues() throws {
    let options = try FuseOptions(arguments: [
      "ro,uid=1000,gid=0,umask=027,allow_other,auto_unmount,max_threads=3,clone_fd", "kernel_cache,io_uring",
      "attr_timeout=1.5,fsname=disk,subtype=x,max_background=64",
    ])
    #expect(options.isReadOnly && options.allowOther && options.autoUnmount && options.cloneDescriptor)
    #expect(options.userID == 1000 && options.groupID == 0 && options.umask == 0o27)
    #expect(options.maxThreads == 3 && options.maxBackground == 64)
    #expect(options.kernelCache && options.usesIOUring && options.attributeTimeout == 1.5)
    #expect(options.fsname == "disk" && options.subtype == "x")
    #expect(options.checksPermissions, "other users are let in: somebody has to check the modes")
    #expect(options.passedOn.isEmpty)
  }

  @Test func theLaterOfTwoCounts() throws {
    #expect(try !FuseOptions(arguments: ["ro", "rw"]).isReadOnly)
    #expect(try FuseOptions(arguments: ["uid=1,uid=2"]).userID == 2)
  }

  @Test func unknownOnesArePassedOnAndMountsOwnAreNot() throws {
    let options = try FuseOptions(arguments: [
      "noexec,defaults,_netdev,x-systemd.automount,context=a:b,comment=c,new_thing=1"
    ])
    #expect(options.passedOn == ["noexec", "context=a:b", "new_thing=1"])
  }

  @Test(arguments: [
    "uid", "uid=", "uid=-1", "uid=x", "uid=4294967295", "umask=8", "umask=1777", "allow_other=1", "ro=yes",
    "max_threads=0", "attr_timeout=nan", "attr_timeout=-1", "fsname=", "fsname", #"subtype=a\,suid"#,
    "allow_other,allow_root",
  ])
  func badValuesAreRefused(text: String) {
    #expect(throws: UsageError.self) { try FuseOptions(arguments: [text]) }
  }

  @Test func sessionArgumentsHoldWhatLibfuseUnderstandsAndNoMore() throws {
    let options = try FuseOptions(arguments: ["uid=1,umask=0,kernel_cache,max_threads=2,allow_root,noexec"])
    #expect(
      options.sessionArguments(source: "nbd://h/a,b", readOnly: true, debug: true) == [
        "nbdmount", "-o", #"fsname=nbd://h/a\,b"#, "-o", "subtype=nbdmount", "-o", "ro", "-o", "allow_root",
        "-o", "default_permissions", "-o", "debug", "-o", "noexec",
      ])
    #expect(
      FuseOptions().sessionArguments(source: "s", readOnly: false, debug: false)
        == ["nbdmount", "-o", "fsname=s", "-o", "subtype=nbdmount"])
  }

  @Test func ioUringAndItsDepthReachLibfuse() throws {
    let arguments = try FuseOptions(arguments: ["io_uring,io_uring_q_depth=16"])
      .sessionArguments(source: "s", readOnly: false, debug: false)
    #expect(arguments.suffix(4) == ["-o", "io_uring", "-o", "io_uring_q_depth=16"])
  }

  @Test(arguments: ["a,suid", #"a\,suid"#, "a,\u{301}suid"]) func aSubtypeCannotAddAnOption(subtype: String) {
    #expect(throws: UsageError.self) { try FuseOptions(arguments: ["subtype=" + FuseOptionList.quote(subtype)]) }
  }

  @Test func aServersNameCannotAddAnOption() {
    let arguments = FuseOptions().sessionArguments(source: #"x\,suid,allow_other\"#, readOnly: false, debug: false)
    #expect(FuseOptionList.split(arguments[2]) == [#"fsname=x\,suid,allow_other\"#])
  }

  @Test(arguments: [
    (ServerLocation.uri("nbd://alice:secret@host:99/disk?tls-psk-file=/root/psk#x"), nil, "nbd://host:99/disk"),
    (.uri("nbds+unix://bob@/e?tls-certificates=/c&socket=/run/s&a=b"), nil, "nbds+unix:///e?socket=/run/s"),
    (.uri("nbd://host/a@b"), nil, "nbd://host/a@b"),
    // To Swift's characters, what an accent follows is another character.
    (.uri("nbd://alice:secret@\u{301}host/disk?\u{301}a=b"), nil, "nbd://\u{301}host/disk"),
    (.uri("nbd:/host"), nil, "nbd:/host"),
    (.tcp(host: "::1", port: 10809), "a b", "nbd://[::1]/a%20b"),
    (.tcp(host: "h", port: 1), nil, "nbd://h:1/"),
    (.unix(path: "/run/a,b"), "e", "nbd+unix:///e?socket=/run/a%2Cb"),
    (.vsock(cid: 2, port: 3), nil, "nbd+vsock://2:3/"),
    (.fd(7), nil, "nbd:fd=7"),
    (.command(["/usr/sbin/nbdkit", "curl", "password=secret"]), nil, "nbd:command=nbdkit"),
    (.socketActivation(["nbdkit"]), "e", "nbd:command=nbdkit/e"),
  ] as [(ServerLocation, String?, String)])
  func theMountTableShowsTheServerAndNoSecrets(server: ServerLocation, export: String?, source: String) {
    #expect(server.mountSource(exportName: export) == source)
  }

  @Test func helpListsEveryOptionWithAnExplanation() {
    for option in FuseOptions.known where option.help != nil {
      #expect(FuseOptions.helpText.contains("  \(option.name)"))
    }
    #expect(Set(FuseOptions.known.map(\.name)).count == FuseOptions.known.count)
  }
}
