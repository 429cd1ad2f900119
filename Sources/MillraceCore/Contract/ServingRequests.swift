/// Answers to a child's requests (Spec 60.6, 60.7): what is held is queued behind what goes first, the rest is MISS at once, so
/// that the child can ask elsewhere. Called by `StreamNode` for REPAIR and CATCHUP, by `WindowRelay` for what it fetched.
///
/// Bounds: a child's queues (`WorkQueue`); a request may name 256 heights at most. What does not fit is asked for again.

import MillraceBase
import MillraceWire

extension Serving {
    func repair(request: UInt16, _ key: SliceKey, _ shreds: StripeSet, withHeader: Bool, from peer: Peer) {
        if let misconduct, !misconduct.answers(key.firstHeight) { return }
        if key.cadence != .c0, let child = peer.child, !child.windowRequests.isNew(request, key) { return }
        guard let child = child(of: peer), let record = record(key) else {
            if key.cadence != .c0, peer.child != nil,
                demand?(key, shreds, withHeader, request, peer) ?? false
            {
                return
            }
            miss(request, shreds, header: withHeader, peer)
            return
        }
        if key.cadence != .c0 { windows?.entry(key.cadence, key.firstHeight)?.usedAt = endpoint.now }
        let asked = shreds.intersection(record.shreds)
        let held = asked.intersection(record.have)
        let missing = asked.subtracting(held)
        // A run of empty mini-blocks is named by its first height, whatever height was asked for.
        let work = Work(key: record.key, shreds: held, withHeader: withHeader, request: request)
        // A slice of a coarser window is wanted next; a shred of c0 holds a replica up.
        let isQueued = key.cadence == .c0 ? child.repairs.append(work) : child.bulk.insertByHeight(work)
        renew(peer)
        if !isQueued {
            miss(request, asked, header: withHeader, peer)
        } else if !missing.isEmpty {
            if key.cadence != .c0, demand?(key, missing, false, request, peer) ?? false { return }
            miss(request, missing, header: false, peer)
        }
    }

    func catchUp(request: UInt16, cadence: Cadence, first: UInt64, count: Int, from peer: Peer) {
        if let misconduct, !misconduct.answers(first) { return }
        guard cadence == .c0, let child = child(of: peer), store.entry(first) != nil else {
            miss(request, .empty, header: true, peer)
            return
        }
        defer { renew(peer) }
        var height = first
        // The frame's bound keeps `count` at 256 and heights below 2^48.
        let end = first + UInt64(count)
        while height < end {
            guard let entry = store.entry(height) else { break }
            for record in entry.slices {
                guard let record else { continue }
                let work = Work(
                    key: record.key, shreds: record.have.data, withHeader: true, request: request)
                // What does not fit is asked for again when the request's timer fires.
                if !child.heights.renew(work), !child.heights.append(work) { return }
            }
            height = entry.lastHeight + 1
        }
    }

    /// More of an answer that was begun: what a relay has fetched for a child.
    func answer(
        _ record: SliceRecord, _ shreds: StripeSet, withHeader: Bool, request: UInt16, to peer: Peer
    ) {
        guard let child = peer.child else { return }
        // What does not fit is asked for again.
        _ = child.bulk.insertByHeight(
            Work(key: record.key, shreds: shreds, withHeader: withHeader, request: request))
        renew(peer)
    }

    func miss(_ request: UInt16, _ shreds: StripeSet, header: Bool, _ peer: Peer) {
        endpoint.statistics.missesSent &+= 1
        endpoint.send(.miss(request: request, shreds, header: header), to: peer)
    }
}
