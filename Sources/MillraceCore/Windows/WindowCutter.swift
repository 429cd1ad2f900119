/// The last step of a coarser window at the sequencer: its payload cut into slices, chained, signed, and put where children
/// ask for them. A c3 window has hundreds of slices and a mini-block is due every 10 ms, so a few are cut per turn, the
/// finest window first; of those told by values the coarsest, which is the shortest way for whoever is far behind.
///
/// No parity is made for these: they are fetched on demand, and one round trip of repair is nothing against a window's length.
///
/// Bounds: windows that wait for their turn hold their payload; there are at most `waitingMax`, and one more is not
/// served at all: its followers take finer ones.

import MillraceBase
import MillraceCrypto
import MillraceWire

struct WindowCutter {
    /// 800 slices a second, where a stream of 100,000 TPS has about 100 in all cadences, but 280 at once where a c3 window
    /// ends; each takes some 150 µs.
    static let slicesPerTurn = 8
    static let waitingMax = 32

    /// A window on its way.
    private struct Job {
        var cadence: Cadence
        var seal: SliceSeal
        var bytes: [UInt8]
        /// Of a payload known by reference.
        var absentBytes: Int
        var next = 0

        var payloadBytes: Int { bytes.isEmpty ? absentBytes : bytes.count }
    }

    /// By number of the cadence, c1 first.
    private var encoders: [SliceEncoder]
    /// In the order of arrival.
    private var jobs: [Job] = []
    /// Commitments of the latest boundaries, ascending.
    private var commitments: [SliceCommitment] = []
    private(set) var windows = 0

    init(_ makeEncoder: (Cadence) -> SliceEncoder) {
        encoders = WindowMaker.cadences.sorted { $0.rawValue < $1.rawValue }.map(makeEncoder)
    }

    var isIdle: Bool { jobs.isEmpty }

    // MARK: In

    /// The state's commitment after an EVM block is known. Eleven of them reach back a c3 window.
    mutating func note(_ commitment: SliceCommitment) {
        if commitments.count == 11 { commitments.removeFirst() }
        commitments.append(commitment)
    }

    mutating func add(_ window: WindowPayload) {
        enqueue(
            Job(cadence: window.cadence, seal: seal(window), bytes: window.bytes, absentBytes: 0))
    }

    /// A window of which only the payload's size is known.
    mutating func add(absentBytes: Int, _ window: WindowPayload) {
        enqueue(Job(cadence: window.cadence, seal: seal(window), bytes: [], absentBytes: absentBytes))
    }

    private mutating func enqueue(_ job: Job) {
        if jobs.count < WindowCutter.waitingMax { jobs.append(job) }
    }

    /// A window tells the latest commitment that is known and is not of a height inside it: its follower has that boundary
    /// too. At c2 and c3 this is the state the window starts from, which is hashed by the time the window ends.
    private func seal(_ window: WindowPayload) -> SliceSeal {
        SliceSeal(
            firstHeight: window.firstHeight, lastHeight: window.lastHeight,
            sealedAtMicroseconds: window.sealedAtMicroseconds,
            commitment: commitments.last { $0.height < window.firstHeight })
    }

    // MARK: Out

    /// Cuts a few slices into the store.
    mutating func turn(into store: WindowStore, now: Instant) {
        for _ in 0..<WindowCutter.slicesPerTurn {
            guard let at = foremost else { return }
            cut(at, into: store, now: now)
        }
    }

    /// Cuts all that waits.
    mutating func finish(into store: WindowStore, now: Instant) {
        while let at = foremost { cut(at, into: store, now: now) }
    }

    /// A window that is begun is finished before another of its cadence, since headers chain.
    private var foremost: Int? {
        jobs.indices.min {
            (WindowCutter.rank(jobs[$0].cadence), $0) < (WindowCutter.rank(jobs[$1].cadence), $1)
        }
    }

    private static func rank(_ cadence: Cadence) -> UInt64 {
        cadence <= .c2 ? cadence.heights : 10_000 - cadence.heights
    }

    private mutating func cut(_ at: Int, into store: WindowStore, now: Instant) {
        let job = jobs[at]
        let encoder = Int(job.cadence.rawValue) - 1
        var made = slice(job, &encoders[encoder], store.pool(job.cadence))
        while made == nil, store.dropOne(job.cadence, keeping: job.seal.firstHeight) {
            made = slice(job, &encoders[encoder], store.pool(job.cadence))
        }
        guard let slice = made else {
            preconditionFailure("one window does not fit its share of the retention budget")
        }
        store.adopt(slice, now: now)
        jobs[at].next += 1
        if jobs[at].next == encoders[encoder].sliceCount(payloadBytes: job.payloadBytes) {
            jobs.remove(at: at)
            windows += 1
        }
    }

    private func slice(_ job: Job, _ encoder: inout SliceEncoder, _ pool: SlicePool) -> SliceAssembler? {
        if job.bytes.isEmpty {
            let absent = UnsafeRawBufferPointer(
                start: SliceAssembler.absentSymbol, count: job.absentBytes)
            return encoder.encodeSlice(job.next, of: absent, seal: job.seal, pool: pool)
        }
        return job.bytes.withUnsafeBytes {
            encoder.encodeSlice(job.next, of: $0, seal: job.seal, pool: pool)
        }
    }
}
