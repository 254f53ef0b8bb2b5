//! Rendering rows in each format.

use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Int32Array, StringArray};

use super::*;

fn answers() -> Vec<(String, Vec<RecordBatch>)> {
    let sales = Decimal128Array::from(vec![Some(123_456_789), None]).with_precision_and_scale(18, 2).unwrap();
    let columns: [(&str, ArrayRef); 3] = [
        ("category", Arc::new(StringArray::from(vec!["전자 <b>|", "books"]))),
        ("orders", Arc::new(Int32Array::from(vec![1200, 30]))),
        ("sales", Arc::new(sales)),
    ];
    vec![("sales".to_owned(), vec![RecordBatch::try_from_iter(columns).unwrap()])]
}

fn fill(format: Format, source: &str) -> Result<String, String> {
    let template = ReportTemplate { format, file: "report".to_owned(), source: source.to_owned() };
    let context = context("p", "2026-02-14".parse().unwrap(), &answers());
    lay_out(&template, &context).map_err(|mistake| mistake.to_string())
}

const TABLE: &str = "{{ table(sales, 'category:Category', 'orders', 'sales:Sales:money', 'orders:Share:bar') }}";

#[test]
fn text_is_aligned_also_with_hangul() {
    let expected = "  Category   orders         Sales  Share
  ---------  ------  ------------  ------------------------------
  전자 <b>|   1,200  1,234,567.89  ██████████████████████████████
  books          30             -  ▊
";
    assert_eq!(fill(Format::Text, TABLE).unwrap(), expected);
}

#[test]
fn markdown_keeps_its_columns() {
    let expected = "\
| Category | orders |
| --- | ---: |
| 전자 &lt;b>\\| | 1,200 |
| books | 30 |
";
    assert_eq!(fill(Format::Markdown, "{{ table(sales, 'category:Category', 'orders') }}").unwrap(), expected);
}

#[test]
fn html_escapes_data_and_not_tables() {
    let html = fill(Format::Html, "{{ table(sales, 'category') }}{{ sales[0].category }}").unwrap();
    assert!(html.starts_with("<table>") && html.ends_with("전자 &lt;b&gt;|"), "{html}");
    assert!(html.contains("<td>전자 &lt;b&gt;|</td>"), "{html}");
}

#[test]
fn charts_are_well_formed() {
    let charts = [
        "{{ column_chart(sales, x='category', y='orders', series='category', title='t', x_title='x', y_title='y') }}",
        "{{ bar_chart(sales, label='category', value='sales', value_title='v', decimals=2, title='t') }}",
        "{{ funnel_chart(sales, label='category', value='orders', title='t') }}",
        "{{ bar_chart([], label='category', value='sales', title='t') }}",
    ];
    for chart in charts {
        let svg = fill(Format::Html, chart).unwrap();
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>"), "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf") && !svg.contains("<b>"), "{svg}");
    }
}

#[test]
fn mistakes_are_reported() {
    for (source, expected) in [
        ("{{ nothing }}", "report:1: undefined value"),
        ("\n{{ table(sales, 'categroy') }}", "report:2: the rows have no column categroy"),
        ("{{ bar_chart(sales, label='category', value='orders', title='t', lable=1) }}", "unknown keyword argument"),
    ] {
        let error = fill(Format::Text, source).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    assert_eq!(check_template("a.txt", "{% if %}").unwrap_err().line, Some(1));
}
