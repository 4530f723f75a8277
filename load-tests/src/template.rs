//! A message that is sent again and again with other numbers in the same places.

use bytes::Bytes;

/// Stands where a request has the id of what it asks for. Twelve digits, so that every number is as long.
pub const ITEM_DIGITS: &str = "777000000777";

/// Stands where a request has a number of its own, whatever it asks for.
pub const REQUEST_DIGITS: &str = "888000000888";

/// A message with places for two numbers.
#[derive(Clone, Debug)]
pub struct Template {
    bytes: Vec<u8>,
    items: Vec<usize>,
    requests: Vec<usize>,
}

impl Template {
    /// The message that has [`ITEM_DIGITS`] and [`REQUEST_DIGITS`] where the numbers go.
    pub fn new(bytes: Vec<u8>) -> Self {
        let places = |mark: &str| {
            let found = bytes.windows(mark.len()).enumerate().filter(|(_, window)| *window == mark.as_bytes());
            found.map(|(at, _)| at).collect::<Vec<_>>()
        };
        let (items, requests) = (places(ITEM_DIGITS), places(REQUEST_DIGITS));
        Self { bytes, items, requests }
    }

    /// The message with these numbers.
    pub fn fill(&self, item: u64, request: u64) -> Bytes {
        let mut bytes = self.bytes.clone();
        for (number, places) in [(item, &self.items), (request, &self.requests)] {
            let digits = digits(number);
            for at in places {
                if let Some(place) = bytes.get_mut(*at..*at + digits.len()) {
                    place.copy_from_slice(&digits);
                }
            }
        }
        bytes.into()
    }

    /// How many places have the id of what is asked for.
    pub const fn items(&self) -> usize {
        self.items.len()
    }

    /// How long the message is, in bytes.
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is nothing in it.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// The last twelve digits of a number.
fn digits(mut number: u64) -> [u8; 12] {
    let mut digits = [b'0'; 12];
    for digit in digits.iter_mut().rev() {
        *digit += u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_gets_its_number() {
        let text = format!("a {ITEM_DIGITS} b {REQUEST_DIGITS} c {ITEM_DIGITS}");
        let template = Template::new(text.into_bytes());
        assert_eq!(template.items(), 2);
        assert_eq!(&template.fill(42, 7)[..], b"a 000000000042 b 000000000007 c 000000000042");
        assert_eq!(template.fill(1, 1).len(), template.len());
    }

    #[test]
    fn a_message_without_places_stays_as_it_is() {
        assert_eq!(&Template::new(b"plain".to_vec()).fill(1, 2)[..], b"plain");
    }
}
