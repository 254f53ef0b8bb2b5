-- The texts are read once, for one row of figures over all topics; arrays of equal length, unnested side by side, make
-- it a row per topic.
{% macro has(words) %}
({% for word in words %}contains(r.text, {{ word }}){% if not loop.last %} OR {% endif %}{% endfor %})
{%- endmacro %}
{% macro unnested(column) %}
unnest(make_array({% for topic in lexicon.topics %}f.{{ column | safe }}_{{ loop.index }}{% if not loop.last %}, {% endif %}{% endfor %}))
{%- endmacro %}
WITH reviews AS (
  SELECT r.rating
  {% for topic, words in lexicon.topics | items %}
    , {{ has(words) }} AS topic_{{ loop.index }}
  {% endfor %}
  FROM raw.reviews r
  WHERE r.created_at >= {{ start }} AND r.created_at < {{ end }} AND r.text IS NOT NULL),
figures AS (
  SELECT COUNT(*) AS n
  {% for topic in lexicon.topics %}
    , COUNT(*) FILTER (WHERE topic_{{ loop.index }}) AS reviews_{{ loop.index }}
    , COUNT(*) FILTER (WHERE topic_{{ loop.index }} AND rating <= 2) AS low_{{ loop.index }}
    , COUNT(*) FILTER (WHERE topic_{{ loop.index }} AND rating >= 4) AS high_{{ loop.index }}
    , AVG(CAST(rating AS DOUBLE)) FILTER (WHERE topic_{{ loop.index }}) AS avg_{{ loop.index }}
  {% endfor %}
  FROM reviews)
SELECT {{ date }} AS date,
  unnest(make_array({% for topic in lexicon.topics %}{{ topic }}{% if not loop.last %}, {% endif %}{% endfor %})) AS topic,
  {{ unnested("reviews") }} AS reviews,
  {{ unnested("low") }} AS low_ratings,
  {{ unnested("high") }} AS high_ratings,
  {{ unnested("avg") }} AS avg_rating
FROM figures f
