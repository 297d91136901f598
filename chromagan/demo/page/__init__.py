"""The page itself: each tab builds its parts and answers its own events.

layout             masthead, tabs, endpoints in one `gr.Blocks`, and its looks
photo_parts, photo_tab, batch_tab, video_tab
                   parts, what their events do, and which parts change: `{part: value}`
guides             colours that a visitor knows: the events, and what the browser shows
parts, visit       what tabs share; who asks, in which language, and what is kept meanwhile
endpoints          the named functions for programs
views              pieces of HTML
"""
