// swift-tools-version: 6.2
import PackageDescription

// The simulation of Tests/ProtocolTests/Simulation as a program, for more seeds than the tests have time for. Scripts/simulate.sh
// builds and runs it.
//
// A package of its own, because it is compiled for speed and for testing at once. The sources are compiled here once more, through
// the links in Sources/.

let testable = SwiftSetting.unsafeFlags(["-enable-testing"])

let package = Package(
  name: "Simulation",
  dependencies: [
    .package(url: "https://github.com/apple/swift-system", .upToNextMinor(from: "1.8.1"))
  ],
  targets: [
    .target(name: "CLinux"),
    .systemLibrary(name: "CGnuTLS", pkgConfig: "gnutls", providers: [.apt(["libgnutls28-dev"])]),
    .target(
      name: "NBDProtocol",
      dependencies: ["CLinux", "CGnuTLS", .product(name: "SystemPackage", package: "swift-system")],
      swiftSettings: [testable]),
    .target(name: "TestSupport"),

    // A failed check of the tests' harness ends the process here.
    .executableTarget(
      name: "Simulate", dependencies: ["NBDProtocol", "CLinux", "TestSupport"],
      swiftSettings: [.define("FUZZING"), .unsafeFlags(["-parse-as-library"])]),
  ],
  swiftLanguageModes: [.v6]
)
