/// What every page this project draws has in common: one HTML file with no scripts and no references to other files, for
/// screens light and dark and for paper. Writers of pages (`measure codec --html`, `simulate --report`, `frontier --report`)
/// give a title and a body; whatever came from outside passes `Page.escape` on its way in.
public struct Page: Sendable {
    public var title: String
    /// Trusted HTML: its writer has escaped what was not its own.
    public var body: String
    /// Added to the common style.
    public var style = ""

    public init(title: String, body: String, style: String = "") {
        self.title = title
        self.body = body
        self.style = style
    }

    public var html: String {
        """
        <!doctype html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>\(Page.escape(title))</title>
        <style>
        \(Page.style)\(style.isEmpty ? "" : "\n" + style)
        </style>
        </head>
        <body>
        <main>
        \(body)</main>
        </body>
        </html>

        """
    }

    /// Text and attribute values: nothing in `text` can open a tag, close a quotation or begin an entity.
    public static func escape(_ text: some StringProtocol) -> String {
        var out = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": out += "&amp;"
            case "<": out += "&lt;"
            case ">": out += "&gt;"
            case "\"": out += "&quot;"
            case "'": out += "&#39;"
            default:
                // Control characters, line breaks apart, have no place in a page.
                let isControl =
                    scalar.value < 0x20 && scalar != "\n" || (0x7F...0x9F).contains(scalar.value)
                if !isControl { out.unicodeScalars.append(scalar) }
            }
        }
        return out
    }

    /// What was typed, quoted where a shell would take it apart.
    public static func shell(_ words: some Sequence<String>) -> String {
        words.map { word in
            let isPlain =
                !word.isEmpty
                && word.utf8.allSatisfy {
                    switch $0 {
                    case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
                    case 0x2B...0x2F, 0x3A, 0x3D, 0x40, 0x5F, 0x5E, 0x25: true
                    default: false
                    }
                }
            if isPlain { return word }
            return "'"
                + word.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''")
                + "'"
        }
        .joined(separator: " ")
    }

    /// Digits in groups of three.
    public static func grouped(_ value: UInt64) -> String {
        var out = ""
        let digits = Array(String(value))
        for (i, digit) in digits.enumerated() {
            if i > 0, (digits.count - i) % 3 == 0 { out += "," }
            out.append(digit)
        }
        return out
    }

    /// With exactly so many digits behind the point, so that columns of numbers line up.
    public static func fixed(_ value: Double, _ digits: Int) -> String {
        let text = JSON.number(value, decimals: digits).text()
        guard digits > 0, value.isFinite else { return text }
        let have = text.firstIndex(of: ".").map { text.distance(from: $0, to: text.endIndex) - 1 } ?? 0
        return text + (have == 0 ? "." : "") + String(repeating: "0", count: max(0, digits - have))
    }

    /// A share as a percentage with as many digits as it needs, up to four: 0.05 is 5 %.
    public static func percent(_ share: Double) -> String {
        JSON.number(share * 100, decimals: 4).text() + " %"
    }

    static let style = """
        :root {
          color-scheme: light dark;
          --paper: #fff; --ink: #1b1f24; --soft: #59636e; --line: #d8dee4; --bar: #2f6f9f; --pre: #f4f6f8;
        }
        @media (prefers-color-scheme: dark) {
          :root { --paper: #14181d; --ink: #e6eaee; --soft: #9aa5b1; --line: #333b44; --bar: #6fb1dd; --pre: #1d232a; }
        }
        * { box-sizing: border-box; }
        body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; }
        main { max-width: 60rem; margin: 0 auto; padding: 2rem 1.25rem 3rem; }
        h1 { font-size: 1.35rem; line-height: 1.3; margin: 0 0 .4rem; overflow-wrap: anywhere; }
        h2 { font-size: 1.02rem; margin: 2rem 0 .3rem; }
        p { margin: 0 0 .6rem; color: var(--soft); max-width: 46rem; }
        .figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .8rem 1.2rem; }
        .figures { margin: 1.2rem 0 0; }
        .figures strong { font-size: 1.7rem; font-weight: 600; font-variant-numeric: tabular-nums; }
        .figures span { color: var(--soft); }
        .figures small { display: block; color: var(--soft); line-height: 1.35; }
        table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
        th { font-weight: 400; text-align: left; }
        .bars th { width: 11rem; padding: .15rem .8rem .15rem 0; }
        .bars td:last-child { width: 11rem; padding-left: .8rem; color: var(--soft); white-space: nowrap; }
        .bars i { display: block; height: .85rem; min-width: 1px; background: var(--bar); border-radius: 0 2px 2px 0;
          print-color-adjust: exact; -webkit-print-color-adjust: exact; }
        .numbers td, .numbers tr:first-child th:not(:first-child) { text-align: right; padding-left: 1rem; }
        .numbers tr:first-child th { color: var(--soft); }
        .numbers tr + tr > * { border-top: 1px solid var(--line); padding-top: .2rem; padding-bottom: .2rem; }
        .pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(24rem, 1fr)); gap: 0 2.5rem; }
        .pair .bars th { width: 8.5rem; }
        .pair .bars td:last-child { width: 9.5rem; }
        pre { background: var(--pre); padding: .7rem .9rem; border-radius: 4px; white-space: pre-wrap; overflow-wrap: anywhere;
          margin: 0; font: 13px/1.5 ui-monospace, "DejaVu Sans Mono", monospace; }
        @media (max-width: 34rem) {
          .bars th { width: 7rem; } .bars td:last-child { width: 8rem; } .pair { grid-template-columns: 1fr; }
        }
        @media print {
          :root { --paper: #fff; --ink: #000; --soft: #444; --line: #bbb; --bar: #2f6f9f; --pre: #f4f6f8; }
          main { max-width: none; padding: 0; } section, .figures { break-inside: avoid; }
        }
        """
}
