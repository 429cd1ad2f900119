/// Headers of slices, as parents send them or sums of them give them back: verified, chained, admitted into the store; and what
/// becomes of those that contradict each other (Spec 60.5, 60.8).
///
/// Promises: nothing is admitted whose signature was not verified; two headers of one height under the sequencer's key are a
/// proof, and end the stream. A parent whose shreds contradict others' header is disputed before it is an offender.

import MillraceBase
import MillraceCrypto
import MillraceWire

extension Following {
    /// A HEADER frame from a parent.
    func header(_ bytes: RawSpan, from peer: Peer, now: Instant) {
        guard let i = peer.parentIndex else {
            if now >= peer.wasParentUntil { offend(peer, .unexpectedFrame) }
            return
        }
        take(bytes, from: peer, parent: i, now: now)
        takeRecovered(now: now)
    }

    /// A HEADERSUM frame from a parent (Spec 60.12).
    func headerSum(_ bytes: RawSpan, from peer: Peer, now: Instant) {
        guard let i = peer.parentIndex else {
            if now >= peer.wasParentUntil { offend(peer, .unexpectedFrame) }
            return
        }
        guard equivocationAt == nil else { return }
        let sum: HeaderSum
        do throws(FrameError) {
            sum = try HeaderSum.decode(bytes)
        } catch {
            offend(peer, .malformedFrame)
            return
        }
        if i == plan.sumsBy { headersSinceSum = 0 }
        guard let newest = sum.slices.first, newest.cadence == .c0, store.mayHold(newest.firstHeight),
            headerTip == 0 || newest.firstHeight <= headerTip + Following.earlyHeightsMax,
            sum.slices.contains(where: { $0.firstHeight >= next && store.record($0) == nil })
        else { return }
        headers.add(sum, from: i) { store.record($0)?.assembler.headerBytes }
        takeRecovered(now: now)
    }

    /// Headers that sums gave: as good as their signatures, and nobody's offence if they are not.
    func takeRecovered(now: Instant) {
        while let (key, header) = headers.next() {
            guard let found = try? SliceHeader.decode(header.span.bytes), found.key == key,
                store.record(key) == nil
            else { continue }
            endpoint.statistics.headersRecovered &+= 1
            take(header.span.bytes, from: nil, parent: nil, now: now)
        }
    }

    /// A header: from parent `i`, or recovered from sums, which then have no offence to answer for.
    func take(_ bytes: RawSpan, from peer: Peer?, parent i: Int?, now: Instant) {
        // The stream is over: whatever comes now belongs to one history or the other.
        guard equivocationAt == nil else { return }
        let decoded: DecodedHeader
        do {
            decoded = try endpoint.decode(header: bytes)
        } catch {
            invalidHeader(peer)
            return
        }
        let header = decoded.header
        guard header.chainID == chainID, header.epoch == epoch else {
            invalidHeader(peer)
            return
        }
        guard header.cadence == .c0 else {
            if let peer { fetch?.header(header, bytes, from: peer, now: now) }
            return
        }
        if let i {
            parents[i].lastHeaderAt = now
            parents[i].headersUnheard = 0
        }
        if let held = store.record(header.key) {
            endpoint.statistics.headersDuplicate &+= 1
            endpoint.statistics.received.noteDuplicate(bytes.byteCount, among: \.header)
            // The same slice from another parent: equal bytes cost no second signature check.
            if isEqual(held.assembler.headerBytes, bytes) {
                if let i { vouched(i, for: held, now: now) }
                return
            }
            let hash = SliceHeader.hash(encoded: bytes)
            guard hash != held.assembler.headerHash else { return }
            if header.isSigned(by: sequencerKey, hash: hash) {
                equivocated(held, bytes, at: header.firstHeight)
            } else {
                invalidHeader(peer)
            }
            return
        }
        // Old news, or too far ahead of what is still missing.
        if next > 0, header.lastHeight < next || !store.mayHold(header.lastHeight) {
            if header.lastHeight < next {
                endpoint.statistics.headersDuplicate &+= 1
                endpoint.statistics.received.noteDuplicate(bytes.byteCount, among: \.header)
            }
            return
        }
        let hash = decoded.hash ?? SliceHeader.hash(encoded: bytes)
        guard endpoint.payloads == .byReference || header.isSigned(by: sequencerKey, hash: hash) else {
            invalidHeader(peer)
            return
        }
        if let other = contradiction(header, hash: hash) {
            equivocated(other, bytes, at: header.firstHeight)
            return
        }
        admit(header, hash: hash, bytes: bytes, shared: decoded.encoded, parent: i, now: now)
    }

    /// A parent sent the header that is held: what it sends of that slice is judged by it.
    func vouched(_ i: Int, for record: SliceRecord, now: Instant) {
        record.headerFrom |= 1 << UInt64(i)
        if let dispute = parents[i].dispute, dispute.key == record.key {
            headerCame(record.key)
            settleDispute(i)
        }
    }

    func equivocated(_ held: SliceRecord, _ bytes: RawSpan, at height: UInt64) {
        equivocationAt = height
        let other = held.assembler.headerBytes
        if let proof = EquivocationProof(other.span.bytes, bytes) { onProof?(proof) }
    }

    func invalidHeader(_ peer: Peer?) {
        guard let peer else { return }
        endpoint.statistics.headersInvalid &+= 1
        offend(peer, .invalidHeader)
    }

    /// Spec 40.3: each header names the one before it. Checked against whichever neighbours are held; answers the one that
    /// contradicts it.
    func contradiction(_ header: SliceHeader, hash: Hash32) -> SliceRecord? {
        if header.sliceIndex > 0 {
            let before = SliceKey(firstHeight: header.firstHeight, index: header.sliceIndex - 1)
            if let record = store.record(before), record.assembler.headerHash != header.previousHeaderHash {
                return record
            }
        } else if header.firstHeight > 1, let entry = store.entry(header.firstHeight - 1),
            let last = entry.slices.last,
            let record = last, record.assembler.headerHash != header.previousHeaderHash
        {
            return record
        }
        let after =
            header.isLastSlice
            ? SliceKey(firstHeight: header.lastHeight + 1, index: 0)
            : SliceKey(firstHeight: header.firstHeight, index: header.sliceIndex + 1)
        if let record = store.record(after), record.assembler.header.previousHeaderHash != hash {
            return record
        }
        if let entry = store.entry(header.firstHeight),
            let sibling = entry.slices.lazy.compactMap({ $0 }).first,
            !sibling.assembler.header.agrees(with: header)
        {
            return sibling
        }
        return nil
    }

    /// `shared`: the bytes as a simulation's nodes share them.
    func admit(
        _ header: SliceHeader, hash: Hash32, bytes: RawSpan, shared: [UInt8]?, parent: Int?, now: Instant
    ) {
        guard let record = store.admit(header, hash: hash, encoded: bytes, shared: shared, now: now) else {
            return
        }
        endpoint.statistics.headersAccepted &+= 1
        if let parent { record.headerFrom = 1 << UInt64(parent) }
        headers.learned(record.key, record.assembler.headerBytes)
        headerCame(record.key)
        noteSlice(header)
        if next == 0 {
            next = joinHeight(header.firstHeight)
            nextSince = now
        }
        if header.isEndOfStream { endHeight = header.lastHeight }
        // A height that a request covers comes by that request, and no contract owes it.
        let asked = askedBy[Int(header.firstHeight % SliceStore.heightsMax)]
        if let request = requests[asked], case .catchUp = request.kind {
            record.isBacklog = true
        } else if header.lastHeight > headerTip || header.lastHeight + 256 > headerTip {
            owe(record, now: now)
            if header.firstHeight > headerTip + Following.liveGap { liveFrom = header.firstHeight }
        }
        if header.lastHeight > headerTip {
            headerTip = header.lastHeight
            lastHeaderAt = now
            countLosses()
        }
        nextTick = min(nextTick, now + Following.gapInterval)
        onNews?(News(headerOf: record))
        if record.shreds.isEmpty { finish(record, now: now) }
        early.drain(header.key) { index, symbol, parent in
            guard let peer = self.peer(parent) else { return }
            keep(symbol, index: index, in: record, from: peer, now: now)
        }
        // Parity of later slices may have waited for this header.
        recover(around: record, now: now)
    }

    // MARK: Disputes

    /// A shred does not have the hash that a header gives it, and the header came from others: the peer may be honest and follow
    /// another history. It is asked for its own header. If that is the same, or does not come, its shreds were forged; if it is
    /// another, signed as well, the sequencer is found out. False when there is nothing to ask any more.
    func dispute(_ record: SliceRecord, with peer: Peer, now: Instant) -> Bool {
        guard let i = peer.parentIndex, record.headerFrom >> UInt64(i) & 1 == 0 else { return false }
        if let dispute = parents[i].dispute {
            parents[i].dispute?.shreds += 1
            if now < dispute.until, dispute.shreds < ParentLink.disputedMax { return true }
            settleDispute(i)
            return true
        }
        guard !parents[i].isDisputed, !requests.isFull else { return false }
        let until = now + peer.roundTrip.timeout * 2
        let request = RepairRequest(
            kind: .header, key: record.key, shreds: .empty, parent: i, sentAt: now, deadline: until,
            outstanding: 1)
        guard let number = requests.open(request) else { return false }
        parents[i].isDisputed = true
        parents[i].dispute = .init(key: record.key, until: until, shreds: 1)
        endpoint.send(.repair(request: number, record.key, .empty, withHeader: true), to: peer)
        return true
    }

    /// It was the peer's fault after all.
    func settleDispute(_ i: Int) {
        guard let dispute = parents[i].dispute, let peer = peer(i) else { return }
        parents[i].dispute = nil
        for _ in 0..<min(dispute.shreds, 3) { offend(peer, .invalidShred) }
    }
}

private func isEqual(_ a: [UInt8], _ b: RawSpan) -> Bool {
    guard a.count == b.byteCount else { return false }
    return a.withUnsafeBytes { a in b.withUnsafeBytes { b in a.elementsEqual(b) } }
}
