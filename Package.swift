// swift-tools-version: 6.2
import PackageDescription

// Swift settings of every target. Strictness is listed here once.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("ExistentialAny"),
    .enableExperimentalFeature("Lifetimes"),
    .treatAllWarnings(as: .error),
]

// The hot paths of core, codec and state: exclusive access is checked at run time in debug builds and tests; in release the
// checks of class properties cost 4 % of a node's CPU time.
let unchecked: [SwiftSetting] = [
    .unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release))
]

// ISA-L is optional: without the trait (or off x86-64 and arm64) the Swift twin does the work.
let isal: [SwiftSetting] = [.define("MILLRACE_ISAL", .when(traits: ["ISAL"]))]

/// A module of the sans-IO core: imports neither Foundation nor Glibc (checked by `make purity`).
func pure(_ name: String, _ dependencies: [Target.Dependency], settings: [SwiftSetting] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: strict + settings)
}

func shell(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: strict)
}

func tests(_ module: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .testTarget(
        name: "\(module)Tests",
        dependencies: [.init(stringLiteral: module), "MillraceTestSupport"] + dependencies,
        swiftSettings: strict)
}

let package = Package(
    name: "millrace",
    products: [
        .executable(name: "millrace", targets: ["millrace"]),
        .executable(name: "millrace-bench", targets: ["millrace-bench"]),
    ],
    traits: [
        .trait(name: "ISAL", description: "Erasure coding with Intel's ISA-L kernels."),
        .default(enabledTraits: ["ISAL"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/LebJe/TOMLKit", from: "0.6.0"),
        .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
    ],
    targets: [
        // C: system libraries, each a header and a module map, and our own small shims.
        .systemLibrary(name: "CLibuv", pkgConfig: "libuv", providers: [.apt(["libuv1-dev"])]),
        .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
        .systemLibrary(name: "CSodium", pkgConfig: "libsodium", providers: [.apt(["libsodium-dev"])]),
        .systemLibrary(name: "CISAL", pkgConfig: "libisal", providers: [.apt(["libisal-dev"])]),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .target(name: "CMillraceShims"),
        .target(name: "CPrefetch"),
        // Four Keccak permutations at a time, as wide as the machine's vectors are.
        .target(name: "CKeccak", cSettings: [.unsafeFlags(["-O3"])]),
        // Counts allocations; linked by the benchmarks only.
        .target(name: "CMillraceCounting"),
        // Ciphers and sockets without a protocol: what the relay's benchmark stands beside.
        .target(name: "CBareRelay", dependencies: ["CMillraceShims", "CSodium"]),

        // The sans-IO core, lowest first.
        pure("MillraceBase", []),
        pure("MillraceCrypto", ["MillraceBase", "CKeccak", "CSodium"]),
        pure(
            "MillraceErasure", ["MillraceBase", .target(name: "CISAL", condition: .when(traits: ["ISAL"]))],
            settings: isal),
        pure("MillraceDiff", ["MillraceBase", "MillraceCrypto"], settings: unchecked),
        pure(
            "MillraceCodec", ["CPrefetch", "MillraceBase", "MillraceCrypto", "MillraceDiff"],
            settings: unchecked),
        pure("MillraceWorkload", ["MillraceBase", "MillraceCrypto", "MillraceDiff"]),
        pure("MillraceLink", ["MillraceBase"], settings: unchecked),
        pure("MillraceWire", ["MillraceBase", "MillraceCrypto"], settings: unchecked),
        pure(
            "MillraceCore",
            [
                "MillraceBase", "MillraceCrypto", "MillraceErasure", "MillraceDiff", "MillraceCodec",
                "MillraceWire",
            ], settings: unchecked),

        // The shells.
        .target(
            name: "MillraceSim",
            dependencies: [
                "CPrefetch", "MillraceBase", "MillraceCrypto", "MillraceDiff", "MillraceCodec",
                "MillraceWorkload", "MillraceLink", "MillraceWire", "MillraceCore",
                .product(name: "TOMLKit", package: "TOMLKit"),
            ],
            swiftSettings: strict + unchecked),
        shell("MillraceLoop", ["MillraceBase", "CLibuv", "CMillraceShims"]),
        shell(
            "MillraceRecording",
            [
                "MillraceBase", "MillraceCrypto", "MillraceDiff", "MillraceWorkload", "CMillraceShims",
                "CZstd", "CZlib",
            ]),
        shell(
            "MillraceNode",
            [
                "MillraceBase", "MillraceCrypto", "MillraceDiff", "MillraceCodec", "MillraceWire",
                "MillraceCore",
                "MillraceLink", "MillraceLoop", "MillraceRecording", "MillraceWorkload",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "TOMLKit", package: "TOMLKit"),
                .product(name: "Histogram", package: "hdrhistogram-swift"),
            ]),

        // The programs.
        .executableTarget(
            name: "millrace",
            dependencies: [
                "MillraceNode", "MillraceRecording", "MillraceWorkload", "MillraceCodec", "MillraceDiff",
                "MillraceCore", "MillraceWire", "MillraceCrypto", "MillraceErasure", "MillraceBase",
                "MillraceLink", "MillraceLoop", "MillraceSim", "CZstd",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "TOMLKit", package: "TOMLKit"),
            ],
            swiftSettings: strict),
        .executableTarget(
            name: "millrace-bench",
            dependencies: [
                "MillraceBase", "MillraceCrypto", "MillraceErasure", "MillraceDiff", "MillraceCodec",
                "MillraceWire",
                "MillraceCore", "MillraceLoop", "MillraceWorkload", "MillraceRecording", "MillraceLink",
                "CMillraceShims", "CMillraceCounting", "CBareRelay", "CSodium", "CZstd",
                .target(name: "CISAL", condition: .when(traits: ["ISAL"])),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict + isal),

        // Tests: one target per module, and what they share.
        .target(
            name: "MillraceTestSupport", dependencies: ["MillraceBase"], path: "Tests/MillraceTestSupport",
            swiftSettings: strict),
        tests("MillraceBase"),
        tests("MillraceCrypto"),
        tests("MillraceErasure"),
        tests("MillraceDiff", ["MillraceBase", "MillraceCrypto", "MillraceWorkload"]),
        tests(
            "MillraceCodec",
            ["MillraceBase", "MillraceDiff", "MillraceCrypto", "MillraceWorkload", "MillraceRecording"]),
        tests("MillraceWorkload", ["MillraceBase", "MillraceDiff", "MillraceCrypto", "MillraceRecording"]),
        tests("MillraceLink", ["MillraceBase"]),
        tests("MillraceSim", ["MillraceBase", "MillraceCore", "MillraceLink", "MillraceWorkload"]),
        tests("MillraceWire", ["MillraceBase", "MillraceCrypto"]),
        tests(
            "MillraceCore",
            [
                "MillraceBase", "MillraceCrypto", "MillraceDiff", "MillraceCodec", "MillraceWire",
                "MillraceErasure", "MillraceWorkload", "MillraceLink",
            ]),
        tests("MillraceLoop", ["MillraceBase", "CMillraceShims"]),
        tests("MillraceRecording", ["MillraceBase", "MillraceCrypto", "MillraceDiff", "MillraceWorkload"]),
        tests(
            "MillraceNode",
            [
                "MillraceBase", "MillraceCrypto", "MillraceRecording", "MillraceDiff", "MillraceWorkload",
                "MillraceLink", "MillraceLoop", "MillraceWire",
            ]),
        // Fuzzing: the targets, a program for libFuzzer (`make fuzz`), and the same targets as ordinary tests.
        .target(
            name: "MillraceFuzz",
            dependencies: [
                "MillraceBase", "MillraceCrypto", "MillraceDiff", "MillraceCodec", "MillraceWire",
                "MillraceCore",
                "MillraceLink", "MillraceWorkload", "MillraceRecording",
            ],
            path: "Tests/Fuzz/Targets", swiftSettings: strict),
        .executableTarget(
            name: "millrace-fuzz", dependencies: ["MillraceFuzz", "MillraceBase"], path: "Tests/Fuzz/Program",
            swiftSettings: strict),
        .testTarget(
            name: "FuzzTests", dependencies: ["MillraceFuzz", "MillraceBase", "MillraceTestSupport"],
            path: "Tests/Fuzz/Tests", swiftSettings: strict),
        .testTarget(
            name: "TidyTests", dependencies: ["MillraceTestSupport"], swiftSettings: strict),
    ]
)
