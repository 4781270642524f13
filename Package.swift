// swift-tools-version: 6.2
import PackageDescription

let package = Package(
  name: "nbdmount",
  products: [
    .executable(name: "nbdmount", targets: ["NBDMount"]),
    .library(name: "NBDProtocol", targets: ["NBDProtocol"]),
  ],
  // To the next minor version: Package.resolved is not kept, since copies of these packages, as some machines have, may
  // have other commits.
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", .upToNextMinor(from: "1.8.0")),
    .package(url: "https://github.com/apple/swift-log", .upToNextMinor(from: "1.16.2")),
    .package(url: "https://github.com/apple/swift-system", .upToNextMinor(from: "1.8.1")),
  ],
  targets: [
    // Linux headers that the Glibc module lacks: epoll, eventfd, timerfd, vsock.
    .target(name: "CLinux"),

    // libfuse3's low-level API: macros and version gates, no logic.
    .systemLibrary(name: "CFuse3", pkgConfig: "fuse3", providers: [.apt(["libfuse3-dev"])]),

    // TLS.
    .systemLibrary(name: "CGnuTLS", pkgConfig: "gnutls", providers: [.apt(["libgnutls28-dev"])]),

    // The NBD client library: wire, handshake, transmission, reactor. No FUSE, no command line.
    .target(
      name: "NBDProtocol",
      dependencies: [
        "CLinux", "CGnuTLS",
        .product(name: "SystemPackage", package: "swift-system"),
      ]),

    // What the specification asks of servers, as checks that speak bytes. No client, no command line.
    .target(name: "NBDConformance", dependencies: ["NBDProtocol"]),

    // The command line and the FUSE side.
    .executableTarget(
      name: "NBDMount",
      dependencies: [
        "NBDProtocol", "NBDConformance", "CFuse3", "CLinux",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "SystemPackage", package: "swift-system"),
      ]),

    .testTarget(name: "ProtocolTests", dependencies: ["NBDProtocol", "CGnuTLS", "CLinux", "TestSupport"]),

    // Each check of a server, against a server that obeys and one that breaks that rule.
    .testTarget(name: "ConformanceTests", dependencies: ["NBDConformance", "NBDProtocol", "CGnuTLS", "TestSupport"]),

    // The command line and the process-level parts of a mount's life; nothing is mounted.
    .testTarget(name: "CommandLineTests", dependencies: ["NBDMount"]),

    // The file system's own logic; nothing is mounted.
    .testTarget(name: "FileSystemTests", dependencies: ["NBDMount", "NBDProtocol", "TestSupport"]),

    // Child processes, real servers and real mounts, each cleaned up on every way out.
    .target(name: "TestSupport", dependencies: ["CGnuTLS"], path: "Tests/TestSupport"),
    .testTarget(name: "MountTests", dependencies: ["TestSupport"]),
  ],
  swiftLanguageModes: [.v6]
)
