/// A relay's part in the coarser cadences: it carries none until a child asks, fetches what is asked for once, keeps it, and
/// passes each shred on to whoever waits for it as soon as it is verified.
///
///     child's REPAIR of a slice not held ─▶ waiting ─▶ WindowFetch ─▶ header, shreds ─▶ the children that wait
///                                                          └─ no parent has it: MISS to them
///
/// So the sequencer sends each relay beside it a window at most once, however many replicas are behind it.
///
/// Bounds: `waitingMax` answers are owed at once; one that cannot be given in `patience` is forgotten (its child asks again).

import MillraceBase
import MillraceWire

final class WindowRelay {
    static let waitingMax = 1_024
    static let patience = Interval.seconds(3)

    private struct Waiting {
        var peer: Peer
        var key: SliceKey
        var request: UInt16
        var shreds: StripeSet
        var withHeader: Bool
        var until: Instant
    }

    private let fetch: WindowFetch
    private let serving: Serving
    private let endpoint: Endpoint
    private var waiting: [Waiting] = []

    init(fetch: WindowFetch, serving: Serving, endpoint: Endpoint) {
        self.fetch = fetch
        self.serving = serving
        self.endpoint = endpoint
        fetch.onNews = { [unowned self] record, shreds, withHeader in
            news(record, shreds, withHeader: withHeader)
        }
        fetch.onComplete = { [unowned self] record in waiting.removeAll { $0.key == record.key } }
        fetch.onMissed = { [unowned self] key in missed(key) }
        serving.demand = { [unowned self] key, shreds, withHeader, request, peer in
            demand(key, shreds, withHeader: withHeader, request: request, from: peer)
        }
    }

    /// Takes over the answer to a request for a slice of a coarser cadence that is not held. False when it cannot.
    private func demand(
        _ key: SliceKey, _ shreds: StripeSet, withHeader: Bool, request: UInt16, from peer: Peer
    ) -> Bool {
        let now = endpoint.now
        waiting.removeAll { $0.until <= now || ($0.key == key && $0.peer === peer) }
        guard waiting.count < WindowRelay.waitingMax, fetch.want(key, now: now) else { return false }
        waiting.append(
            Waiting(
                peer: peer, key: key, request: request, shreds: shreds, withHeader: withHeader,
                until: now + WindowRelay.patience))
        return true
    }

    private func news(_ record: SliceRecord, _ shreds: StripeSet, withHeader: Bool) {
        for waiting in waiting where waiting.key == record.key {
            serving.answer(
                record, shreds.intersection(waiting.shreds), withHeader: withHeader && waiting.withHeader,
                request: waiting.request, to: waiting.peer)
        }
    }

    private func missed(_ key: SliceKey) {
        for waiting in waiting where waiting.key == key {
            serving.miss(waiting.request, waiting.shreds, header: waiting.withHeader, waiting.peer)
        }
        waiting.removeAll { $0.key == key }
    }
}
