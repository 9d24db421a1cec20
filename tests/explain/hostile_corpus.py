"""Texts that would run a script, ask an address or build an element if a page took them for anything but text."""

CORPUS = [
    # elements
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<img src=//taken.invalid/a srcset='//taken.invalid/b 2x'>",
    "<svg onload=alert(1)><script>alert(1)</script></svg>",
    "<svg><animate onbegin=alert(1) attributeName=x dur=1s></svg>",
    "<math><mtext></p><style><img src=x onerror=alert(1)></style></math>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe><iframe src=javascript:alert(1)></iframe>",
    "<object data=//taken.invalid/c></object><embed src=//taken.invalid/d>",
    "<video src=//taken.invalid/e onerror=alert(1)><audio src=//taken.invalid/f>",
    "<body onload=alert(1)><details open ontoggle=alert(1)>",
    "<base href=//taken.invalid/><link rel=stylesheet href=//taken.invalid/g>",
    "<meta http-equiv=refresh content='0;url=//taken.invalid/h'>",
    "<form action=//taken.invalid/i><input name=a autofocus onfocus=alert(1)></form>",
    "<a href=javascript:alert(1) ping=//taken.invalid/j>go</a>",
    # the ends of what may stand around a text
    "</script><script>alert(1)</script>",
    "</title></head><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "</style><style>*{background:url(//taken.invalid/k)}</style>",
    "</option></select><script>alert(1)</script>",
    "</iframe></template></noscript><script>alert(1)</script>",
    '<noscript><p title="</noscript><script>alert(1)</script>">',
    "--></span></p></article></main></body></html><script>alert(1)</script>",
    # attributes
    '" onmouseover="alert(1)" autofocus onfocus="alert(1)" x="',
    "' autofocus onfocus='alert(1)' x='",
    '"><script>alert(1)</script>',
    "` onclick=alert(1) `",
    "x onerror=alert(1) style=background:url(//taken.invalid/l)",
    # addresses and scripts
    "javascript:alert(1)//",
    "data:text/html,<script>alert(1)</script>",
    "';alert(1);//\\';alert(1);//\";alert(1);//\\\";alert(1);//--></script>",
    "\u2028alert(1)\u2029alert(2)",
    "${alert(1)} #{7*7} <%= 7*7 %> {{ 7*7 }} {% raw %} {# x #} [[7*7]]",
    # comments that never close, and what they hide
    "<!-- <script>alert(1)</script>",
    "--!><script>alert(1)</script><![CDATA[ ]]>",
    "<!--><img src=x onerror=alert(1)>-->",
    "<!DOCTYPE html [<!ENTITY a SYSTEM '//taken.invalid/m'>]>&a;",
    # written in other ways
    "&lt;script&gt;alert(1)&lt;/script&gt; &#x3c;img src=x onerror=alert(1)&#62;",
    "\\u003cscript\\u003ealert(1)\\u003c/script\\u003e",
    "%3Cscript%3Ealert(1)%3C/script%3E",
    "+ADw-script+AD4-alert(1)+ADw-/script+AD4-",
    "<scr\u0131pt>alert(1)</scr\u0131pt><\u017fcript>alert(1)</\u017fcript>",
    "\uff1cscript\uff1ealert(1)\uff1c/script\uff1e",
    "<ScRiPt\n>alert(1)</sCrIpT\t><img/src=x/onerror=alert(1)>",
    # what turns a line around, or hides
    "\u202e>tpircs/<)1(trela>tpircs<\u202c",
    "\u2066<script>alert(1)</script>\u2069\u200b\u200d\ufeff",
]
