//! JSON by RFC 8259, to the letter and slowly, in order to disagree with whoever reads it otherwise.

/// A value; numbers as they were written, members in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Json {
    Null,
    Bool(bool),
    Number(String),
    /// None if there is half a surrogate pair in it.
    Text(Option<String>),
    Array(Vec<Json>),
    Object(Vec<(Option<String>, Json)>),
}

impl Json {
    /// The one value that these bytes are.
    pub fn read(bytes: &[u8]) -> Option<Json> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut reader = Reader { rest: text };
        let value = reader.value()?;
        reader.space();
        reader.rest.is_empty().then_some(value)
    }

    pub fn text(&self) -> Option<&str> {
        match self {
            Json::Text(text) => text.as_deref(),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => None,
        }
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn take(&mut self, what: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(what)?;
        Some(())
    }

    fn value(&mut self) -> Option<Json> {
        self.space();
        match self.rest.bytes().next()? {
            b'n' => self.take("null").map(|()| Json::Null),
            b't' => self.take("true").map(|()| Json::Bool(true)),
            b'f' => self.take("false").map(|()| Json::Bool(false)),
            b'"' => self.text().map(Json::Text),
            b'[' => self.array(),
            b'{' => self.object(),
            _ => self.number(),
        }
    }

    fn array(&mut self) -> Option<Json> {
        self.take("[")?;
        let mut elements = Vec::new();
        self.space();
        if self.take("]").is_some() {
            return Some(Json::Array(elements));
        }
        loop {
            elements.push(self.value()?);
            self.space();
            if self.take("]").is_some() {
                return Some(Json::Array(elements));
            }
            self.take(",")?;
        }
    }

    fn object(&mut self) -> Option<Json> {
        self.take("{")?;
        let mut members = Vec::new();
        self.space();
        if self.take("}").is_some() {
            return Some(Json::Object(members));
        }
        loop {
            self.space();
            let key = self.text()?;
            self.space();
            self.take(":")?;
            members.push((key, self.value()?));
            self.space();
            if self.take("}").is_some() {
                return Some(Json::Object(members));
            }
            self.take(",")?;
        }
    }

    fn digits(&mut self) -> Option<usize> {
        let rest = self.rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let count = self.rest.len() - rest.len();
        self.rest = rest;
        (count > 0).then_some(count)
    }

    fn number(&mut self) -> Option<Json> {
        let begin = self.rest;
        let _ = self.take("-");
        let leading_zero = self.rest.starts_with('0');
        if self.digits()? > 1 && leading_zero {
            return None;
        }
        if self.take(".").is_some() {
            self.digits()?;
        }
        if self.take("e").or_else(|| self.take("E")).is_some() {
            let _ = self.take("+").or_else(|| self.take("-"));
            self.digits()?;
        }
        let length = begin.len() - self.rest.len();
        Some(Json::Number(begin[..length].to_owned()))
    }

    /// The outer None: no string at all. The inner one: half a pair.
    fn text(&mut self) -> Option<Option<String>> {
        self.take("\"")?;
        let mut units: Vec<u16> = Vec::new();
        loop {
            let c = self.rest.chars().next()?;
            self.rest = &self.rest[c.len_utf8()..];
            match c {
                '"' => return Some(String::from_utf16(&units).ok()),
                '\\' => units.push(self.escape()?),
                '\0'..='\u{1f}' => return None,
                _ => units.extend(c.encode_utf16(&mut [0; 2]).iter()),
            }
        }
    }

    fn escape(&mut self) -> Option<u16> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(match c {
            '"' | '\\' | '/' => u16::try_from(c).ok()?,
            'b' => 8,
            'f' => 12,
            'n' => 10,
            'r' => 13,
            't' => 9,
            'u' => {
                let hex = self.rest.get(..4)?;
                if !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    return None;
                }
                self.rest = &self.rest[4..];
                u16::from_str_radix(hex, 16).ok()?
            }
            _ => return None,
        })
    }
}

#[test]
fn it_reads_what_the_rfc_allows_and_nothing_else() {
    let text = |text: &str| Json::Text(Some(text.into()));
    let table = [
        ("null", Some(Json::Null)),
        (" \t\r\n[ ] ", Some(Json::Array(vec![]))),
        (r#""a\u00e4\ud83d\ude00\/""#, Some(text("aä😀/"))),
        (r#""\ud83d""#, Some(Json::Text(None))),
        ("-0.5e+07", Some(Json::Number("-0.5e+07".into()))),
        (
            r#"{"a":1,"a":[true]}"#,
            Some(Json::Object(vec![
                (Some("a".into()), Json::Number("1".into())),
                (Some("a".into()), Json::Array(vec![Json::Bool(true)])),
            ])),
        ),
    ];
    for (written, read) in table {
        assert_eq!(Json::read(written.as_bytes()), read, "{written}");
    }
    for wrong in [
        "",
        "01",
        "-",
        "1.",
        ".5",
        "1e",
        "+1",
        "[1,]",
        "{,}",
        "{\"a\"}",
        "'a'",
        "\"\t\"",
        "\"\\x\"",
        "\"\\u+123\"",
        "nul",
        "1 2",
        "\u{feff}1",
        "[",
        "\"",
        "\u{a0}1",
        "NaN",
    ] {
        assert_eq!(Json::read(wrong.as_bytes()), None, "{wrong}");
    }
}
