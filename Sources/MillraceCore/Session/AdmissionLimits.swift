/// What strangers and peers can make a node keep, added up (Spec 50.8). Every table named here
/// has the bound named here; nothing else grows with what arrives.
///
///     a session            Session 320 B, 3 keys of 200 B, 3 replay windows of 2 KiB                 about  7 KiB
///     a pending handshake  NoiseHandshake 600 B, datagram 152 B                                      about  1 KiB
///     a peer               Peer with its score, status, round trip                                   about  1 KiB
///     a child              3 work queues of 512 + 2,048 + 2,048 entries of 40 B                      about 190 KiB
///
///     a table of 1,024 sessions, all with handshakes and peers                                       about  9 MiB
///     256 children (`children-max`)                                                                  about 48 MiB
///     timestamps seen 4,096 × 24 B, senders 2 × 2,048 × 48 B, cookies waiting 256 × 80 B             about  0.3 MiB
///     banned keys 256, scores remembered 256 × 600 B                                                 about  0.2 MiB
///
/// What is kept for the stream (retention, slices that wait, the pool of 1,024 datagrams) has its own bounds in its
/// configuration and does not depend on how many peers there are.

import MillraceBase

enum AdmissionLimits {
    /// Keys refused at once. Beyond it the oldest ban ends early: who can afford so many keys needs no old one.
    static let refusedKeysMax = 256
    /// Scores of peers that left, kept because something is held against them.
    static let rememberedScoresMax = 256
    /// Control frames one peer may send in a second, and saved up. A child that repairs a tenth of 2,700 shreds a second, a
    /// shred a request, sends 270; a parent that answers MISS as many.
    static let framesPerSecond: Int64 = 4_000
    static let framesBurst: Int64 = 4_000
    /// Probes of a new address before it is forgotten.
    static let pathProbesMax = 5
    static let pathProbeInterval = Interval.milliseconds(250)
}

/// How many control frames a peer may still send: a bucket of time, as `HandshakeBudget` is.
struct FrameAllowance: BitwiseCopyable {
    private static let cost = 1_000_000_000 / AdmissionLimits.framesPerSecond
    private static let savedMax = cost * AdmissionLimits.framesBurst
    private var saved = savedMax
    private var last: Instant

    init(now: Instant) { last = now }

    mutating func take(now: Instant) -> Bool {
        let passed = (now - last).nanoseconds
        if passed > 0 {
            saved = min(FrameAllowance.savedMax, saved + min(passed, FrameAllowance.savedMax))
            last = now
        }
        guard saved >= FrameAllowance.cost else { return false }
        saved -= FrameAllowance.cost
        return true
    }
}
