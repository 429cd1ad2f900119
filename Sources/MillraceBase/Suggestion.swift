/// "Did you mean": the nearest of a few known names, for errors about text that people type.
public enum Suggestion {
    /// The candidate with the fewest edits from `text` (letters put in, left out, replaced, two neighbours swapped), when that
    /// is at most a third of its length and at least one edit is allowed; the first in case of a tie. Cost: lengths
    /// multiplied, over names cut at 64 bytes.
    public static func nearest(to text: String, among candidates: [String]) -> String? {
        let wanted = Array(text.lowercased().utf8.prefix(64))
        var best: (edits: Int, name: String)?
        for name in candidates {
            let edits = distance(wanted, Array(name.lowercased().utf8.prefix(64)))
            if edits <= max(1, max(wanted.count, name.utf8.count) / 3), edits < best?.edits ?? .max {
                best = (edits, name)
            }
        }
        return best?.name
    }

    /// `; did you mean "loss"?`, or nothing: the end of a sentence.
    public static func hint(for text: String, among candidates: [String]) -> String {
        nearest(to: text, among: candidates).map { "; did you mean \"\($0)\"?" } ?? ""
    }

    static func distance(_ a: [UInt8], _ b: [UInt8]) -> Int {
        // Rows of the table: two letters back, one back, now.
        var twoBack = [Int](repeating: 0, count: b.count + 1)
        var back = Array(0...b.count)
        var row = back
        for i in 0..<a.count {
            row[0] = i + 1
            for j in 0..<b.count {
                var least = min(back[j] + (a[i] == b[j] ? 0 : 1), back[j + 1] + 1, row[j] + 1)
                if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { least = min(least, twoBack[j - 1] + 1) }
                row[j + 1] = least
            }
            (twoBack, back, row) = (back, row, twoBack)
        }
        return back[b.count]
    }
}
