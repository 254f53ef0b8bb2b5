-- How many reviews have each word of the lexicon. The texts are read once, for one row of figures over all words;
-- arrays of equal length, unnested side by side, make it a row per word. Searching for a plain word runs at memory
-- speed, so a count per word is cheaper than a regular expression that would have to say which of the words it found.
{% macro has(entry) %}
contains(r.text, {{ entry.word }})
{%- for phrase in entry.except | default([]) %} AND NOT contains(r.text, {{ phrase }}){% endfor %}
{% endmacro %}
WITH figures AS (
  SELECT COUNT(*) AS n
  {% for entry in lexicon.positive %}
    , COUNT(*) FILTER (WHERE {{ has(entry) }}) AS positive_{{ loop.index }}
  {% endfor %}
  {% for entry in lexicon.negative %}
    , COUNT(*) FILTER (WHERE {{ has(entry) }}) AS negative_{{ loop.index }}
  {% endfor %}
  FROM raw.reviews r
  WHERE r.created_at >= {{ start }} AND r.created_at < {{ end }} AND r.text IS NOT NULL)
SELECT {{ date }} AS date,
  unnest(make_array(
    {%- for entry in lexicon.positive %}'positive', {% endfor %}
    {%- for entry in lexicon.negative %}'negative'{% if not loop.last %}, {% endif %}{% endfor %})) AS polarity,
  unnest(make_array(
    {%- for entry in lexicon.positive %}{{ entry.word }}, {% endfor %}
    {%- for entry in lexicon.negative %}{{ entry.word }}{% if not loop.last %}, {% endif %}{% endfor %})) AS word,
  unnest(make_array(
    {%- for entry in lexicon.positive %}f.positive_{{ loop.index }}, {% endfor %}
    {%- for entry in lexicon.negative %}f.negative_{{ loop.index }}{% if not loop.last %}, {% endif %}{% endfor %})) AS reviews
FROM figures f
