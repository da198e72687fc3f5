"""The API: what pages show, for programs. Strict about what comes in, quick about what goes out.

``operations`` says what a view does and lets in; ``shapes`` reads bodies; ``rows`` shows rows; ``problems`` says what
is wrong. The other modules hold the views, by what they are about.
"""
