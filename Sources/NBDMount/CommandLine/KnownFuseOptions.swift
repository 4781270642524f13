extension FuseOptions {
  /// An option that nbdmount itself understands: the one table behind both parsing and `--fuse-help`.
  struct Known: Sendable {
    enum Kind: Sendable {
      case flag(WritableKeyPath<FuseOptions, Bool> & Sendable)
      case clears(WritableKeyPath<FuseOptions, Bool> & Sendable)
      case number(
        WritableKeyPath<FuseOptions, UInt32?> & Sendable, radix: Int = 10, ClosedRange<UInt32> = 0...(.max))
      case seconds(WritableKeyPath<FuseOptions, Double?> & Sendable)
      case text(WritableKeyPath<FuseOptions, String?> & Sendable)
      /// Meant for mount(8), or without meaning for a mount of one file.
      case ignored
    }

    let name: String
    let kind: Kind
    /// For `--fuse-help`; nil is not shown.
    let help: String?

    init(_ name: String, _ kind: Kind, _ help: String? = nil) {
      self.name = name
      self.kind = kind
      self.help = help
    }
  }

  static let known: [Known] = [
    Known("ro", .flag(\.isReadOnly), "read-only, the same as -r"),
    Known("rw", .clears(\.isReadOnly)),
    // 2^32-1 is (uid_t) -1, which means "no change" to the kernel.
    Known("uid", .number(\.userID, 0...(.max - 1)), "show the file as owned by this user number"),
    Known("gid", .number(\.groupID, 0...(.max - 1)), "show the file as owned by this group number"),
    Known("umask", .number(\.umask, radix: 8, 0...0o777), "permission bits to take away, octal"),
    Known("allow_other", .flag(\.allowOther), "let other users in (file modes are then checked)"),
    Known("allow_root", .flag(\.allowRoot), "let root in"),
    Known("default_permissions", .flag(\.defaultPermissions), "let the kernel check file modes"),
    Known("auto_unmount", .flag(\.autoUnmount), "unmount when nbdmount dies, however it dies"),
    Known("max_threads", .number(\.maxThreads, 1...100_000), "worker threads of --engine threads"),
    Known("max_idle_threads", .number(\.maxIdleThreads, 1...100_000), "worker threads kept when idle"),
    Known("clone_fd", .flag(\.cloneDescriptor), "one /dev/fuse descriptor for each worker thread"),
    Known("io_uring", .flag(\.usesIOUring), "FUSE over io_uring, --engine threads only (libfuse 3.18, Linux 6.14)"),
    Known("kernel_cache", .flag(\.kernelCache), "keep cached pages when the file is opened again, as --cache writeback does"),
    Known("direct_io", .flag(\.directIO), "the same as --cache none"),
    Known("entry_timeout", .seconds(\.entryTimeout), "how long the kernel may keep names, seconds"),
    Known("attr_timeout", .seconds(\.attributeTimeout), "how long the kernel may keep attributes, seconds"),
    Known("max_read", .number(\.maxRead, 4096...(.max)), "largest read the kernel sends, bytes"),
    Known("max_write", .number(\.maxWrite, 4096...(.max)), "largest write the kernel sends, bytes"),
    Known("max_background", .number(\.maxBackground, 1...65535), "asynchronous requests in flight; of --engine threads at most 3/4 of max_threads"),
    Known("fsname", .text(\.fsname), "source shown in the mount table (default: the server)"),
    Known("subtype", .text(\.subtype), "type shown in the mount table is fuse.SUBTYPE (nbdmount)"),
    Known("debug", .flag(\.debug), "libfuse prints every request"),

    // fstab's own words, which mount(8) hands on.
    Known("defaults", .ignored), Known("auto", .ignored), Known("noauto", .ignored),
    Known("user", .ignored), Known("nouser", .ignored), Known("users", .ignored),
    Known("owner", .ignored), Known("group", .ignored), Known("nofail", .ignored),
    Known("_netdev", .ignored), Known("comment", .ignored),
    // Options of libfuse's high-level library about names and inodes: there is one file.
    Known("auto_cache", .ignored), Known("noauto_cache", .ignored), Known("noforget", .ignored),
    Known("remember", .ignored), Known("negative_timeout", .ignored), Known("ac_attr_timeout", .ignored),
    Known("use_ino", .ignored), Known("hard_remove", .ignored), Known("no_rofd_flush", .ignored),
  ]

  /// What `--fuse-help` prints.
  static var helpText: String {
    var lines = ["Options for -o, separated by commas (\\, is a comma inside a value):", ""]
    for option in known {
      guard let help = option.help else { continue }
      lines.append("  " + padded(option.name + option.kind.suffix) + help)
    }
    lines += [
      "", "Passed on to libfuse and the kernel:", "",
      "  " + padded("[no]suid [no]dev [no]exec") + "as in mount(8); default nosuid,nodev",
      "  " + padded("sync async dirsync noatime") + "as in mount(8)",
      "  " + padded("context=LABEL ...") + "SELinux labels",
      "  " + padded("anything else") + "libfuse accepts or refuses it",
      "", "Without root, allow_other and allow_root need user_allow_other in /etc/fuse.conf.",
    ]
    return lines.joined(separator: "\n")
  }

  private static func padded(_ text: String) -> String {
    text + String(repeating: " ", count: max(2, 30 - text.count))
  }
}

extension FuseOptions.Known.Kind {
  fileprivate var suffix: String {
    switch self {
    case .flag, .clears, .ignored: ""
    case .number(_, let radix, _): radix == 8 ? "=MODE" : "=N"
    case .seconds: "=SECONDS"
    case .text: "=TEXT"
    }
  }
}
