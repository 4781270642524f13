// swift-tools-version: 6.2
import PackageDescription

// The fuzzer: libFuzzer, which is a part of the Swift toolchain, and the targets of Tests/ProtocolTests/Harness, built with
// AddressSanitizer. Scripts/fuzz.sh builds and runs it.
//
// A package of its own, because all of it is compiled in a way that nobody wants elsewhere. The sources are compiled here once
// more, through the links in Sources/.

/// The library: libFuzzer sees which of its code an input reaches.
let covered = SwiftSetting.unsafeFlags(["-sanitize=fuzzer,address", "-enable-testing"])
/// What drives it, which is not to be explored.
let sanitized = SwiftSetting.unsafeFlags(["-sanitize=address", "-enable-testing"])

let package = Package(
  name: "Fuzz",
  dependencies: [
    .package(url: "https://github.com/apple/swift-system", .upToNextMinor(from: "1.8.1"))
  ],
  targets: [
    .target(name: "CLinux"),
    .systemLibrary(name: "CGnuTLS", pkgConfig: "gnutls", providers: [.apt(["libgnutls28-dev"])]),
    .target(
      name: "NBDProtocol",
      dependencies: ["CLinux", "CGnuTLS", .product(name: "SystemPackage", package: "swift-system")],
      swiftSettings: [covered]),

    // What is called of libFuzzer and of the sanitizer.
    .target(name: "CFuzzer"),

    // A failed check ends the process here.
    .target(name: "FuzzTargets", dependencies: ["NBDProtocol"], swiftSettings: [.define("FUZZING"), sanitized]),

    // Its main function calls libFuzzer's.
    .executableTarget(
      name: "Fuzz", dependencies: ["FuzzTargets", "CFuzzer"],
      swiftSettings: [.unsafeFlags(["-parse-as-library"]), sanitized],
      linkerSettings: [.unsafeFlags(["-sanitize=fuzzer,address", "-use-ld=lld"])]),
  ],
  swiftLanguageModes: [.v6]
)
