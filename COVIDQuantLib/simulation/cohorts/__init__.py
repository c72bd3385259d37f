"""Tables of made cohorts whose truth is known: group sizes, medians, quartiles and odds as the papers print them."""
