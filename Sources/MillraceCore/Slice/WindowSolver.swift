/// Brings back missing data symbols of several slices from their parity, which covers a window of slices (Spec 40.6).
///
///     slices   …  c  c  c │ a  b  c │          c: complete, before the system: known data
///     unknowns            │ 1  0  2 │          data symbols missing in a … c
///     equations           │ 0  1  2 │          parity symbols in hand there
///
/// An equation of a slice speaks of the data of that slice and of those before it in its window. When everything before
/// slice a is complete, the equations of a … c speak of unknowns of a … c only, so as many equations as unknowns are
/// enough, but for one system in 255 whose determinant happens to be zero; then one equation more settles it.
///
/// Promises: all or nothing; each symbol brought back is compared with its signed hash. Bounds: `LinearSystem`'s, and
/// the memory of as many symbols.

import MillraceErasure
import MillraceWire

struct WindowSolver {
    private struct Unknown {
        var slice: Int
        var stripe: Int
    }
    private struct Equation {
        var slice: Int
        var parity: Int
    }

    private var system = LinearSystem()
    private var unknowns: [Unknown] = []
    private var equations: [Equation] = []

    /// Solves for all data missing from `slices[first...]`, which follow each other in the chain; those before `first` are
    /// whole. False, and nothing changed, when the equations in hand do not determine it. By reference these need not be
    /// given: `known` says how many there are.
    mutating func solve(
        _ slices: [SliceAssembler], from first: Int, known: Int? = nil, payloads: PayloadForm
    ) -> Bool {
        collect(slices, from: first, known: known ?? first)
        if unknowns.isEmpty { return true }
        guard unknowns.count <= LinearSystem.unknownsMax, equations.count >= unknowns.count else {
            return false
        }
        system.begin(unknowns: unknowns.count, equations: equations.count)
        for (e, equation) in equations.enumerated() {
            let span = Int(slices[equation.slice].header.windowSpan)
            for (u, unknown) in unknowns.enumerated() {
                let distance = equation.slice - unknown.slice
                guard distance >= 0, distance < span else { continue }
                system.set(
                    equation: e, unknown: u,
                    WindowCode.coefficient(
                        parity: equation.parity, data: unknown.stripe, distance: distance))
            }
        }
        guard system.solve() else { return false }
        switch payloads {
        case .byReference:
            for unknown in unknowns { _ = slices[unknown.slice].restore(unknown.stripe, from: nil) }
        case .carried:
            restore(slices)
        }
        return true
    }

    private mutating func collect(_ slices: [SliceAssembler], from first: Int, known: Int) {
        unknowns.removeAll(keepingCapacity: true)
        equations.removeAll(keepingCapacity: true)
        for s in first..<slices.count {
            var missing = slices[s].missingData
            while missing != 0 {
                unknowns.append(Unknown(slice: s, stripe: missing.trailingZeroBitCount))
                missing &= missing - 1
            }
            guard Self.isUsable(slices, s, wholeBefore: s - first + known) else { continue }
            var parity = slices[s].have >> UInt64(WireLimits.firstParityStripe)
            while parity != 0, equations.count < LinearSystem.equationsMax {
                equations.append(Equation(slice: s, parity: parity.trailingZeroBitCount))
                parity &= parity - 1
            }
        }
    }

    /// Whether the whole window of slice `s` is there and its symbols are no longer than its parity.
    private static func isUsable(_ slices: [SliceAssembler], _ s: Int, wholeBefore: Int) -> Bool {
        let span = Int(slices[s].header.windowSpan)
        let parityBytes = slices[s].header.parityBytes
        guard span <= wholeBefore + 1 else { return false }
        for i in max(s - span + 1, 0)...s where slices[i].header.symbolBytes > parityBytes { return false }
        return true
    }

    /// The bytes: what is known of each equation is taken off its parity, and the combinations give the symbols.
    private func restore(_ slices: [SliceAssembler]) {
        let symbolBytes = WireLimits.symbolBytesMax
        let count = equations.count + unknowns.count
        withUnsafeTemporaryAllocation(byteCount: count * symbolBytes, alignment: 64) { memory in
            withUnsafeTemporaryAllocation(of: UnsafeMutableRawPointer.self, capacity: count) { places in
                guard let base = memory.baseAddress, let rows = places.baseAddress else { return }
                base.initializeMemory(as: UInt8.self, repeating: 0, count: count * symbolBytes)
                for row in 0..<count { (rows + row).initialize(to: base + row * symbolBytes) }
                for (e, equation) in equations.enumerated() {
                    let stripe = WireLimits.firstParityStripe + equation.parity
                    guard let parity = slices[equation.slice].symbol(ofStripe: stripe),
                        let source = parity.baseAddress
                    else { continue }
                    rows[e].copyMemory(from: source, byteCount: parity.count)
                }
                takeKnown(slices, from: rows)
                combine(rows)
                for (u, unknown) in unknowns.enumerated() {
                    _ = slices[unknown.slice].restore(unknown.stripe, from: rows[equations.count + u])
                }
            }
        }
    }

    private func takeKnown(
        _ slices: [SliceAssembler], from rows: UnsafeMutablePointer<UnsafeMutableRawPointer>
    ) {
        withUnsafeTemporaryAllocation(of: UnsafeMutableRawPointer.self, capacity: equations.count) { places in
            guard let chosen = places.baseAddress else { return }
            for (s, slice) in slices.enumerated() {
                var windows: [SliceAssembler.WindowRow] = []
                for (e, equation) in equations.enumerated() {
                    let distance = equation.slice - s
                    guard distance >= 0, distance < Int(slices[equation.slice].header.windowSpan) else {
                        continue
                    }
                    (chosen + windows.count).initialize(to: rows[e])
                    windows.append(SliceAssembler.WindowRow(parity: equation.parity, distance: distance))
                }
                slice.add(slice.knownData, rows: windows, to: chosen)
            }
        }
    }

    private func combine(_ rows: UnsafeMutablePointer<UnsafeMutableRawPointer>) {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: equations.count * unknowns.count) { matrix in
            guard let coefficients = matrix.baseAddress else { return }
            for u in unknowns.indices {
                for e in equations.indices {
                    (coefficients + u * equations.count + e).initialize(to: system.share(of: e, in: u))
                }
            }
            WindowCode.accumulate(
                bytes: WireLimits.symbolBytesMax, sources: rows, sourceCount: equations.count,
                coefficients: coefficients, destinations: rows + equations.count, rows: unknowns.count)
        }
    }
}
