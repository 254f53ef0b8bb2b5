//! The texts of the shop: products, search queries and reviews.
//!
//! Tables only. A change of their order changes the rows of a seed, so add new entries at the end of a list; even then
//! the golden fingerprints must be updated.

/// A product category.
#[derive(Debug)]
pub(crate) struct Category {
    /// The key used in events and products.
    pub(crate) key: &'static str,
    pub(crate) name_ko: &'static str,
    /// Index into [`DEPARTMENTS`].
    pub(crate) department: usize,
    /// Share of the products in this category, in percent.
    pub(crate) share: f64,
    /// Lowest and highest list price, in won.
    pub(crate) prices_won: (u32, u32),
    /// Margin in ten-thousandths of the price.
    pub(crate) margin_ten_thousandths: i128,
    pub(crate) items: [&'static str; 8],
    /// Adjectives before the item in product names and searches.
    pub(crate) manners: [&'static str; 6],
}

/// Key and Korean name of the groups of categories.
pub(crate) const DEPARTMENTS: [(&str, &str); 4] =
    [("style", "스타일"), ("living", "생활"), ("electronics", "전자제품"), ("leisure", "여가")];

pub(crate) const CATEGORIES: [Category; 10] = [
    Category {
        key: "fashion",
        name_ko: "패션",
        department: 0,
        share: 24.0,
        prices_won: (9_900, 259_000),
        margin_ten_thousandths: 4_200,
        items: ["린넨 셔츠", "롱 원피스", "와이드 청바지", "러닝화", "가디건", "트렌치코트", "크로스백", "니트 조끼"],
        manners: ["여름", "오버핏", "베이직", "남녀공용", "빅사이즈", "프리미엄"],
    },
    Category {
        key: "beauty",
        name_ko: "뷰티",
        department: 0,
        share: 14.0,
        prices_won: (3_900, 128_000),
        margin_ten_thousandths: 4_800,
        items: ["선크림", "수분크림", "쿠션 팩트", "립틴트", "클렌징폼", "마스크팩", "토너", "헤어 에센스"],
        manners: ["저자극", "비건", "대용량", "민감성", "촉촉한", "휴대용"],
    },
    Category {
        key: "food",
        name_ko: "식품",
        department: 1,
        share: 16.0,
        prices_won: (1_900, 89_000),
        margin_ten_thousandths: 1_800,
        items: ["드립백 커피", "제주 감귤", "컵라면", "그릭 요거트", "견과 세트", "닭가슴살", "생수", "현미 쌀"],
        manners: ["국내산", "무가당", "유기농", "냉동", "산지직송", "실속"],
    },
    Category {
        key: "digital",
        name_ko: "디지털",
        department: 2,
        share: 9.0,
        prices_won: (12_900, 2_490_000),
        margin_ten_thousandths: 1_200,
        items: [
            "무선 이어폰",
            "기계식 키보드",
            "게이밍 모니터",
            "노트북",
            "보조배터리",
            "스마트워치",
            "태블릿",
            "웹캠",
        ],
        manners: ["저소음", "고속", "경량", "게이밍", "사무용", "신형"],
    },
    Category {
        key: "appliances",
        name_ko: "가전",
        department: 2,
        share: 7.0,
        prices_won: (19_900, 2_990_000),
        margin_ten_thousandths: 1_500,
        items: [
            "로봇청소기",
            "공기청정기",
            "전기밥솥",
            "서큘레이터",
            "에어프라이어",
            "제습기",
            "식기세척기",
            "커피머신",
        ],
        manners: ["미니", "저전력", "1등급", "원룸", "대형", "무소음"],
    },
    Category {
        key: "furniture",
        name_ko: "가구",
        department: 1,
        share: 6.0,
        prices_won: (15_900, 1_590_000),
        margin_ten_thousandths: 3_600,
        items: ["컴퓨터 책상", "사무용 의자", "패브릭 소파", "책장", "매트리스", "수납장", "식탁", "행거"],
        manners: ["원목", "조립식", "접이식", "북유럽", "1인용", "높이조절"],
    },
    Category {
        key: "sports",
        name_ko: "스포츠",
        department: 3,
        share: 8.0,
        prices_won: (5_900, 690_000),
        margin_ten_thousandths: 3_300,
        items: ["요가매트", "아령", "캠핑 텐트", "등산 스틱", "수영복", "배드민턴 라켓", "접이식 자전거", "폼롤러"],
        manners: ["초보자", "초경량", "방수", "홈트", "전문가용", "논슬립"],
    },
    Category {
        key: "books",
        name_ko: "도서",
        department: 3,
        share: 7.0,
        prices_won: (6_300, 54_000),
        margin_ten_thousandths: 2_500,
        items: ["장편 소설", "수험서", "그림책", "요리책", "여행 에세이", "코딩 입문서", "만화 전집", "경제 서적"],
        manners: ["개정판", "베스트셀러", "양장본", "어린이", "2024", "중고"],
    },
    Category {
        key: "toys",
        name_ko: "완구",
        department: 3,
        share: 5.0,
        prices_won: (4_900, 219_000),
        margin_ten_thousandths: 3_900,
        items: ["블록 세트", "보드게임", "봉제 인형", "RC카", "퍼즐", "역할놀이", "비눗방울", "프라모델"],
        manners: ["유아", "3세", "초등", "대형", "원목", "한정판"],
    },
    Category {
        key: "pets",
        name_ko: "반려동물",
        department: 1,
        share: 4.0,
        prices_won: (2_900, 189_000),
        margin_ten_thousandths: 3_000,
        items: ["강아지 사료", "고양이 모래", "덴탈껌", "캣타워", "배변패드", "하네스", "자동급식기", "이동가방"],
        manners: ["소형견", "노령", "그레인프리", "대용량", "국내산", "저알러지"],
    },
];

/// Products numbered by category, then item.
pub(crate) const ITEMS: usize = CATEGORIES.len() * 8;

/// A brand's name is one head and one tail; each category has [`BRANDS_PER_CATEGORY`] of them.
pub(crate) const BRAND_HEADS: [&str; 20] = [
    "하늘",
    "바른",
    "모아",
    "소담",
    "라온",
    "온빛",
    "다솜",
    "해솔",
    "가온",
    "마루",
    "푸른",
    "달빛",
    "나래",
    "도담",
    "새봄",
    "별내",
    "이든",
    "한결",
    "노을",
    "솔바람",
];
pub(crate) const BRAND_TAILS: [&str; 10] =
    ["샵", "랩", "하우스", "공방", "스튜디오", "웍스", "앤코", "마켓", "디자인", "플러스"];
pub(crate) const BRANDS_PER_CATEGORY: u32 = 20;
pub(crate) const BRANDS: u32 = BRANDS_PER_CATEGORY * CATEGORIES.len() as u32;

/// Country of a brand and its weight.
pub(crate) const COUNTRIES: [(&str, f64); 7] =
    [("KR", 60.0), ("US", 11.0), ("JP", 9.0), ("CN", 9.0), ("DE", 5.0), ("FR", 4.0), ("SE", 2.0)];

/// The steps of the funnel, in order, followed by the unknown types that broken clients send.
pub(crate) const EVENT_TYPES: [&str; 8] =
    ["search", "view", "add_cart", "purchase", "wishlist", "PURCHASE", "click_v2", "undefined"];

/// Type, operating system, version of the app (none in a browser), weight.
pub(crate) const DEVICES: [(&str, &str, Option<&str>, f64); 15] = [
    ("mobile", "Android", Some("5.2.1"), 16.0),
    ("mobile", "Android", Some("5.2.0"), 9.0),
    ("mobile", "Android", Some("5.1.4"), 6.0),
    ("mobile", "Android", Some("4.9.0"), 3.0),
    ("mobile", "iOS", Some("5.2.1"), 14.0),
    ("mobile", "iOS", Some("5.2.0"), 7.0),
    ("mobile", "iOS", Some("5.1.4"), 3.0),
    ("mobile", "Android", None, 6.0),
    ("mobile", "iOS", None, 5.0),
    ("desktop", "Windows", None, 19.0),
    ("desktop", "macOS", None, 6.0),
    ("desktop", "Linux", None, 1.0),
    ("tablet", "iPadOS", Some("5.2.1"), 2.5),
    ("tablet", "iPadOS", Some("5.1.4"), 1.0),
    ("tablet", "Android", Some("5.2.0"), 1.5),
];

/// Referrer of a session, and its weight.
pub(crate) const REFERRERS: [(&str, f64); 8] = [
    ("direct", 28.0),
    ("naver_search", 22.0),
    ("google_search", 14.0),
    ("instagram", 11.0),
    ("kakao", 10.0),
    ("youtube", 6.0),
    ("email", 5.0),
    ("push", 4.0),
];

/// A campaign, which attracts sessions and lowers prices.
#[derive(Debug)]
pub(crate) struct Campaign {
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    pub(crate) discount_percent: u32,
    pub(crate) weight: f64,
}

pub(crate) const CAMPAIGNS: [Campaign; 7] = [
    Campaign { id: "camp_201", name: "여름 맞이 세일", discount_percent: 20, weight: 25.0 },
    Campaign { id: "camp_202", name: "첫 구매 혜택", discount_percent: 10, weight: 20.0 },
    Campaign { id: "camp_203", name: "오늘의 타임딜", discount_percent: 30, weight: 12.0 },
    Campaign { id: "camp_204", name: "브랜드 데이", discount_percent: 15, weight: 13.0 },
    Campaign { id: "camp_205", name: "주말 쿠폰", discount_percent: 12, weight: 12.0 },
    Campaign { id: "camp_206", name: "앱 전용 특가", discount_percent: 5, weight: 14.0 },
    Campaign { id: "camp_207", name: "시즌 오프", discount_percent: 40, weight: 4.0 },
];

pub(crate) const GENDERS: [(&str, f64); 3] = [("F", 54.0), ("M", 43.0), ("N", 3.0)];
pub(crate) const AGE_GROUPS: [(&str, f64); 5] =
    [("10s", 7.0), ("20s", 29.0), ("30s", 31.0), ("40s", 20.0), ("50+", 13.0)];
pub(crate) const REGIONS: [(&str, f64); 17] = [
    ("서울", 18.3),
    ("경기", 26.5),
    ("부산", 6.4),
    ("인천", 5.8),
    ("경남", 6.3),
    ("경북", 5.0),
    ("대구", 4.6),
    ("충남", 4.1),
    ("전남", 3.5),
    ("전북", 3.4),
    ("충북", 3.1),
    ("강원", 3.0),
    ("대전", 2.8),
    ("광주", 2.8),
    ("울산", 2.1),
    ("제주", 1.3),
    ("세종", 0.8),
];

/// Segments from the most active users to the least, with the share of users, in percent, up to and including each.
pub(crate) const SEGMENTS: [(&str, u64); 3] = [("POWER_USER", 10), ("ACTIVE_EXPLORER", 60), ("PASSIVE_BROWSER", 100)];

/// Search patterns for an item, besides brand and manner. `*` is replaced by the item.
pub(crate) const QUERY_PATTERNS: [&str; 8] =
    ["*", "* 추천", "가성비 *", "* 세일", "* 후기", "* 선물", "인기 * 순위", "* 무료배송"];

/// The subject of a sentence in a review.
#[derive(Debug)]
pub(crate) struct Subject {
    /// Percentage of reviews that mention it.
    pub(crate) mentioned_percent: u32,
    /// Sentences by [`Tone`].
    pub(crate) sentences: [[&'static str; 5]; 3],
}

/// The tone of a sentence, in the order of [`Subject::sentences`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Glad = 0,
    Even = 1,
    Sour = 2,
}

/// The subjects in the order in which a review mentions them. The last is always mentioned.
pub(crate) const SUBJECTS: [Subject; 5] = [
    Subject {
        mentioned_percent: 55,
        sentences: [
            [
                "배송 정말 빨라요",
                "다음날 바로 배송 왔어요",
                "배송 기사님 친절해서 좋아요",
                "새벽 배송 최고예요",
                "빠른 배송 만족해요",
            ],
            [
                "배송은 보통이에요",
                "배송은 이틀 걸렸어요",
                "배송 기간은 평범해요",
                "배송은 제날짜에 왔어요",
                "배송은 무난했어요",
            ],
            [
                "배송이 늦었어요",
                "배송 일주일 걸렸어요",
                "배송 느려서 실망했어요",
                "배송 중에 깨졌어요",
                "배송 문의에 답이 없어요",
            ],
        ],
    },
    Subject {
        mentioned_percent: 60,
        sentences: [
            [
                "품질 좋아요",
                "품질이 기대 이상이에요",
                "마감 품질까지 만족합니다",
                "튼튼하고 품질 훌륭해요",
                "사진보다 품질 좋아요",
            ],
            [
                "품질은 그냥 그래요",
                "품질은 가격만큼이에요",
                "품질은 무난해요",
                "품질은 평균 수준이에요",
                "품질은 쓸 만해요",
            ],
            [
                "품질이 별로예요",
                "품질 실망이에요",
                "마감 품질이 엉성해요",
                "금방 고장나는 품질이네요",
                "품질 불량이에요",
            ],
        ],
    },
    Subject {
        mentioned_percent: 40,
        sentences: [
            [
                "가격이 착해요",
                "이 가격에 이만하면 만족",
                "가격 대비 훌륭해요",
                "할인 가격이라 좋아요",
                "가격도 저렴해요",
            ],
            ["가격은 적당해요", "가격은 보통이에요", "가격은 다른 곳과 비슷해요", "가격은 쏘쏘", "가격만큼 해요"],
            ["가격이 비싸요", "가격에 거품이 있어요", "가격 값을 못 해요", "이 가격이면 별로예요", "가격이 아까워요"],
        ],
    },
    Subject {
        mentioned_percent: 30,
        sentences: [
            [
                "포장 꼼꼼해요",
                "포장이 예뻐서 좋아요",
                "포장 깔끔하게 왔어요",
                "선물 포장 만족해요",
                "친환경 포장이라 좋아요",
            ],
            ["포장은 보통이에요", "포장은 평범해요", "포장은 간단했어요", "포장은 그럭저럭", "포장은 기본이에요"],
            [
                "포장이 엉망이에요",
                "포장이 찢어져 왔어요",
                "포장이 부실해요",
                "과대 포장이라 별로예요",
                "포장 상태 실망이에요",
            ],
        ],
    },
    Subject {
        mentioned_percent: 100,
        sentences: [
            ["강력 추천 합니다", "또 살게요", "재구매 의사 있어요", "아주 만족 합니다", "잘 쓰고 있어요"],
            ["보통이에요", "그럭저럭 쓰고 있어요", "나쁘지 않아요", "무난합니다", "생각해 보고 사세요"],
            ["다시는 안 사요", "반품했어요", "추천 못 하겠어요", "돈이 아까워요", "많이 아쉬워요"],
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn unique_words_are_not_repeated() {
        let keys: HashSet<&str> = CATEGORIES.iter().map(|category| category.key).collect();
        assert_eq!(keys.len(), CATEGORIES.len());
        let items: HashSet<&str> = CATEGORIES.iter().flat_map(|category| category.items).collect();
        assert_eq!(items.len(), ITEMS);
        let sentences: Vec<&str> =
            SUBJECTS.iter().flat_map(|subject| subject.sentences.into_iter().flatten()).collect();
        assert_eq!(sentences.iter().collect::<HashSet<_>>().len(), sentences.len());
        assert_eq!(BRAND_HEADS.len() * BRAND_TAILS.len(), BRANDS as usize);
    }

    #[test]
    fn no_sentence_is_part_of_one_with_another_tone() {
        // So that the tone of a review can be determined from its text.
        let toned: Vec<(usize, &str)> = SUBJECTS
            .iter()
            .flat_map(|subject| subject.sentences.iter().enumerate())
            .flat_map(|(tone, sentences)| sentences.iter().map(move |sentence| (tone, *sentence)))
            .collect();
        for (tone, sentence) in &toned {
            for (other_tone, other) in &toned {
                assert!(tone == other_tone || !other.contains(sentence), "{sentence} in {other}");
            }
        }
    }
}
