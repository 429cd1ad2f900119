/// Brings back slice headers that were lost, from sums of headers (Spec 60.12).
///
///     sum after n    c0 h(n) + c1 h(n-1) + … + c15 h(n-15)
///         less the headers that are here          ─▶ an equation about those that are not
///         less equations that say the same        ─▶ one unknown: its bytes
///
/// The equations of one parent are kept reduced: each has an unknown of its own, its *pivot*, that no other speaks of. Sums of
/// two parents are not mixed, so that one that sends nonsense spoils only its own.
///
/// Promises: what it gives is a well-formed guess; its signature has to be checked like that of any header. Bounds:
/// `equationsMax` of at most 806 bytes each, and as many eliminations for each sum that speaks of something unknown.

import MillraceErasure
import MillraceWire

struct HeaderRecovery {
    /// Twice as many as one sum has slices; the oldest gives way.
    static let equationsMax = 32

    private struct Equation {
        var parent: Int
        /// Unknown headers, the newest first, and their coefficients. The last is the pivot.
        var unknowns: [SliceKey]
        var factors: [UInt8]
        var sum: [UInt8]
    }
    private var equations: [Equation] = []
    private var solved: [(key: SliceKey, header: [UInt8])] = []

    var isEmpty: Bool { equations.isEmpty }

    /// A sum came. `header` answers the headers that are here.
    mutating func add(_ sum: HeaderSum, from parent: Int, header: (SliceKey) -> [UInt8]?) {
        var equation = Equation(parent: parent, unknowns: [], factors: [], sum: sum.sum)
        for (distance, key) in sum.slices.enumerated() {
            let factor = WindowCode.coefficient(header: distance)
            if let header = header(key) {
                // A longer one cannot be in this sum: its parent heard of another history.
                guard header.count + 2 <= equation.sum.count else { return }
                HeaderSumMaker.add(header, factor, to: &equation.sum)
            } else {
                equation.unknowns.append(key)
                equation.factors.append(factor)
            }
        }
        insert(equation)
    }

    /// The header of `key` is here.
    mutating func learned(_ key: SliceKey, _ header: [UInt8]) {
        if equations.isEmpty { return }
        var changed: [Equation] = []
        equations.removeAll { equation in
            if equation.unknowns.contains(key) { changed.append(equation) }
            return equation.unknowns.contains(key)
        }
        for var equation in changed {
            guard let place = equation.unknowns.firstIndex(of: key), header.count + 2 <= equation.sum.count
            else { continue }
            HeaderSumMaker.add(header, equation.factors[place], to: &equation.sum)
            equation.unknowns.remove(at: place)
            equation.factors.remove(at: place)
            insert(equation)
        }
    }

    /// A header that is determined now; each is told once.
    mutating func next() -> (key: SliceKey, header: [UInt8])? { solved.popLast() }

    /// Forgets what speaks of slices below `height` only.
    mutating func dropBelow(_ height: UInt64) {
        if equations.isEmpty { return }
        equations.removeAll { ($0.unknowns.first?.firstHeight ?? 0) < height }
    }

    private mutating func insert(_ fresh: Equation) {
        var fresh = fresh
        for equation in equations where equation.parent == fresh.parent {
            eliminate(equation, from: &fresh)
        }
        guard let pivot = fresh.factors.last else { return }
        let scale = GaloisField.inverse(pivot)
        if fresh.unknowns.count == 1 {
            if let header = HeaderRecovery.header(fresh.sum, scale) {
                solved.append((fresh.unknowns[0], header))
            }
            return
        }
        for i in equations.indices where equations[i].parent == fresh.parent {
            eliminate(fresh, from: &equations[i])
        }
        // What that determined.
        for i in equations.indices.reversed() where equations[i].unknowns.count == 1 {
            let equation = equations.remove(at: i)
            if let header = HeaderRecovery.header(equation.sum, GaloisField.inverse(equation.factors[0])) {
                solved.append((equation.unknowns[0], header))
            }
        }
        if equations.count == HeaderRecovery.equationsMax { equations.removeFirst() }
        equations.append(fresh)
    }

    /// Takes so much of `equation` off the other that its pivot is gone there.
    private func eliminate(_ equation: Equation, from other: inout Equation) {
        guard let pivot = equation.unknowns.last, let own = equation.factors.last,
            let place = other.unknowns.firstIndex(of: pivot)
        else { return }
        let factor = GaloisField.product(other.factors[place], GaloisField.inverse(own))
        if other.sum.count < equation.sum.count {
            other.sum.append(contentsOf: repeatElement(0, count: equation.sum.count - other.sum.count))
        }
        WindowCode.add(factor, times: equation.sum, to: &other.sum)
        for (key, coefficient) in zip(equation.unknowns, equation.factors) {
            let product = GaloisField.product(factor, coefficient)
            if let at = other.unknowns.firstIndex(of: key) {
                other.factors[at] ^= product
                if other.factors[at] == 0 {
                    other.factors.remove(at: at)
                    other.unknowns.remove(at: at)
                }
            } else {
                let at =
                    other.unknowns.firstIndex {
                        StreamPosition($0, shred: 0) < StreamPosition(key, shred: 0)
                    } ?? other.unknowns.count
                other.unknowns.insert(key, at: at)
                other.factors.insert(product, at: at)
            }
        }
    }

    /// The header in a sum of one: its length says where it ends, and zeroes follow.
    private static func header(_ sum: [UInt8], _ scale: UInt8) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: sum.count)
        WindowCode.add(scale, times: sum, to: &bytes)
        guard bytes.count > 2 else { return nil }
        let count = Int(bytes[0]) | Int(bytes[1]) << 8
        guard count > 0, count <= bytes.count - 2, bytes[(2 + count)...].allSatisfy({ $0 == 0 }) else {
            return nil
        }
        return Array(bytes[2..<(2 + count)])
    }
}
