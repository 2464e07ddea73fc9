//! The names that make a browser run script: event handlers, elements and URL schemes. Sorted.

/// Event handler attributes without their `on` (HTML, SVG, media, pointer, touch, and what browsers had of their own).
pub(super) const EVENTS: &[&str] = &[
    "abort", "activate", "afterprint", "afterscriptexecute", "afterupdate", "animationcancel", "animationend",
    "animationiteration", "animationstart", "auxclick", "beforeactivate", "beforecopy", "beforecut",
    "beforedeactivate", "beforeeditfocus", "beforeinput", "beforematch", "beforepaste", "beforeprint",
    "beforescriptexecute", "beforetoggle", "beforeunload", "beforeupdate", "beforexrselect", "begin", "blur",
    "bounce", "cancel", "canplay", "canplaythrough", "cellchange", "change", "click", "close", "command",
    "compositionend", "compositionstart", "compositionupdate", "contentvisibilityautostatechange", "contextlost",
    "contextmenu", "contextrestored", "controlselect", "copy", "cuechange", "cut", "dataavailable", "datasetchanged",
    "datasetcomplete", "dblclick", "deactivate", "drag", "dragdrop", "dragend", "dragenter", "dragexit", "dragleave",
    "dragover", "dragstart", "drop", "durationchange", "emptied", "encrypted", "end", "ended", "error", "errorupdate",
    "exit", "filterchange", "finish", "focus", "focusin", "focusout", "formchange", "formdata", "forminput",
    "fullscreenchange", "fullscreenerror", "gesturechange", "gestureend", "gesturestart", "gotpointercapture",
    "hashchange", "help", "input", "invalid", "keydown", "keypress", "keyup", "languagechange", "layoutcomplete",
    "load", "loadeddata", "loadedmetadata", "loadend", "loadstart", "location", "losecapture", "lostpointercapture",
    "mediacomplete", "mediaerror", "message", "messageerror", "mousedown", "mouseenter", "mouseleave", "mousemove",
    "mouseout", "mouseover", "mouseup", "mousewheel", "move", "moveend", "movestart", "mozfullscreenchange",
    "offline", "online", "open", "orientationchange", "outofsync", "page", "pagehide", "pagereveal", "pageshow",
    "pageswap", "paint", "paste", "pause", "play", "playing", "pointercancel", "pointerdown", "pointerenter",
    "pointerleave", "pointermove", "pointerout", "pointerover", "pointerrawupdate", "pointerup", "popstate",
    "progress", "propertychange", "ratechange", "readystatechange", "rejectionhandled", "repeat", "reset", "resize",
    "resizeend", "resizestart", "resume", "reverse", "rowdelete", "rowenter", "rowexit", "rowinserted", "rowsdelete",
    "rowsenter", "rowsinserted", "scroll", "scrollend", "scrollsnapchange", "scrollsnapchanging", "search",
    "securitypolicyviolation", "seek", "seeked", "seeking", "select", "selectionchange", "selectstart", "show",
    "slotchange", "stalled", "start", "stop", "storage", "submit", "suspend", "syncrestored", "timeerror", "timeout",
    "timeupdate", "toggle", "touchcancel", "touchend", "touchmove", "touchstart", "trackchange", "transitioncancel",
    "transitionend", "transitionrun", "transitionstart", "unhandledrejection", "unload", "urlflip",
    "validationstatuschange", "volumechange", "waiting", "webkitanimationend", "webkitanimationiteration",
    "webkitanimationstart", "webkitfullscreenchange", "webkitmouseforcechanged", "webkitmouseforcedown",
    "webkitmouseforceup", "webkitmouseforcewillbegin", "webkitplaybacktargetavailabilitychanged",
    "webkittransitionend", "webkitwillrevealbottom", "wheel", "zoom",
];

/// Elements that load, run or redirect by themselves.
pub(super) const ACTIVE: &[&str] = &[
    "animate", "animatemotion", "animatetransform", "applet", "base", "bgsound", "embed", "fencedframe", "frame",
    "frameset", "handler", "iframe", "ilayer", "import", "isindex", "layer", "listener", "noembed", "noframes",
    "noscript", "object", "param", "plaintext", "portal", "set", "svg", "vmlframe", "xml", "xmp", "xss",
];

/// Schemes that run what follows them.
pub(super) const SCRIPT_SCHEMES: &[&str] = &["ecmascript", "javascript", "jscript", "livescript", "vbs", "vbscript"];

/// Calls that show or do the deed of injected script.
pub(super) const SINKS: &[&str] = &[
    "alert", "atob", "confirm", "console", "document", "eval", "execscript", "expression", "fetch", "function",
    "import", "importscripts", "location", "msgbox", "open", "print", "prompt", "self", "setinterval", "settimeout",
    "this", "top", "window", "write", "xmlhttprequest",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted_for_their_search() {
        for list in [EVENTS, ACTIVE, SCRIPT_SCHEMES, SINKS] {
            assert!(list.is_sorted());
        }
    }
}
