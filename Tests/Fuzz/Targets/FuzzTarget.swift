/// What libFuzzer (and, over seeds and found inputs, the ordinary tests) may do to Millrace: one closure per decoder or
/// core, which takes any bytes and traps when a promise is broken. A new decoder gets a target here and in `all`.

public struct FuzzTarget: Sendable {
    /// As on the command line and in `Regressions/<name>/`.
    public let name: String
    /// The longest input worth trying.
    public let bytesMax: Int
    /// Good inputs to start from: a fuzzer that must invent a format's first byte never reaches its last.
    public let seeds: @Sendable () -> [[UInt8]]
    public let run: @Sendable (UnsafeRawBufferPointer) -> Void

    public init(
        _ name: String, bytesMax: Int, seeds: @escaping @Sendable () -> [[UInt8]],
        run: @escaping @Sendable (UnsafeRawBufferPointer) -> Void
    ) {
        self.name = name
        self.bytesMax = bytesMax
        self.seeds = seeds
        self.run = run
    }

    public static let all: [FuzzTarget] = [
        sliceHeader,
        sliceAssembler,
        frames,
        sessions,
        relayPeer,
        replicaPeer,
        sequencerPeer,
        membershipPeer,
        peerRecord,
        evidence,
        diffSerialisation,
        recording,
        recordingFrames,
        stateOperations,
        sdw1,
        prestate,
        codecPayload,
        codecDense,
        codecWindow,
        workloadSpec,
        linkText,
        linkFile,
    ]

    /// Must fail: proves that the machinery would notice. Not in `all`.
    public static let canary = FuzzTarget("canary", bytesMax: 64, seeds: { [Array("m".utf8)] }) { bytes in
        let word = Array("mill".utf8)
        guard bytes.count >= word.count else { return }
        if bytes[0] == word[0], bytes[1] == word[1], bytes[2] == word[2], bytes[3] == word[3] {
            preconditionFailure("the canary sang")
        }
    }

    public static func named(_ name: String) -> FuzzTarget? { (all + [canary]).first { $0.name == name } }
}
