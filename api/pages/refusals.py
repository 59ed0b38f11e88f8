"""What a person reads of each refusal: what happened, and one next step."""

# code -> (where its page leads, what the link says); the others lead to the field for a code.
ONWARD = {
    "not_signed_in": ("/staff", ""),
    "no_live_code": ("/staff", "Shop console"),
    "manager_needed": ("/staff", "Shop console"),
    "member_not_signed_in": ("/console/sign-in", "Sign in"),
    # Who has such a link has no code: there is nothing to type.
    **dict.fromkeys(("pledge_link_over", "pledge_link_used", "unknown_pledge_link"), ("", "")),
    **dict.fromkeys(("old_letter", "no_mail"), ("/me", "My page")),
    **dict.fromkeys(
        ("right_missing", "own_proposal", "decided_already", "changed_since"), ("/console", "To the console")
    ),
}

# code -> (title, what happened, next step). Plain English is the key of the French catalogue.
MESSAGES: dict[str, tuple[str, str, str]] = {
    "unknown_code": (
        "We do not know this code",
        "Perhaps a character was misread, or the print is too old.",
        "Check the characters printed under the code and type them again.",
    ),
    "guessing": (
        "Please wait a minute",
        "Too many unknown codes were asked for from here.",
        "Scan a printed code with the camera: known codes still work.",
    ),
    "suspended": (
        "This code is taking a break",
        "It was switched off for a while.",
        "Scan it again later, or ask the staff.",
    ),
    "replaced": (
        "This code was replaced",
        "A new code has taken its place.",
        "Go on to the new one: it is one tap away.",
    ),
    "revoked": (
        "This code was withdrawn",
        "It is no longer in use.",
        "Look for a newer code in the shop, or ask the staff.",
    ),
    "expired": (
        "This code has expired",
        "It was made for a time that is over.",
        "Look for a newer code in the shop, or ask the staff.",
    ),
    "coupon_over": (
        "This coupon is used up",
        "It was used, or its time is over.",
        "See your other coupons.",
    ),
    "coupon_shown": (
        "This coupon is on show",
        "What happens to its value is fixed while you show it.",
        "Put it back, then choose again.",
    ),
    "not_givable": (
        "This coupon cannot be given",
        "It has no value in money, or its mission has no cause yet.",
        "Use it in the shop.",
    ),
    "unreadable_code": (
        "That is not the code of a coupon",
        "It has ten characters, and the last one checks the others.",
        "Read it again, character by character.",
    ),
    "unreadable_picture": (
        "That photo cannot be read",
        "It is too large, or no photo.",
        "Take another one, or type the code.",
    ),
    "no_code_in_picture": (
        "No coupon in the photo",
        "No code of a coupon was seen in the photo.",
        "Take it nearer and in more light, or type the code.",
    ),
    "unknown_coupon": (
        "We do not know this coupon",
        "No coupon of this brand has this code.",
        "Read the code again, or ask to see it on the phone.",
    ),
    "has_coupon": (
        "There is one already",
        "This offer gives one coupon to each person.",
        "It is on the page of its person.",
    ),
    "no_coupon_left": (
        "No coupon is left",
        "As many as there may be of this offer were given.",
        "Thank you all the same: what you did counts.",
    ),
    "offer_closed": (
        "This offer gives nothing just now",
        "It is paused or over.",
        "Look again later.",
    ),
    "points_short": (
        "Not enough points yet",
        "You have fewer points here than this costs.",
        "Your page shows how many there are, and until when.",
    ),
    "sent_before": (
        "This was sent before",
        "Your phone sent this already, for something else.",
        "Go back to your page and choose again.",
    ),
    "too_many_badges": ("That is enough badges", "A campaign has at most fifty badges.", ""),
    "one_coupon_a_purchase": (
        "One coupon a purchase",
        "Another coupon was sent with this purchase already.",
        "Start anew for another purchase.",
    ),
    "not_accepted": (
        "There is nothing to take back",
        "This coupon was refused, not used.",
        "Look at the last coupons of the shop.",
    ),
    "not_today": (
        "This was not used today",
        "A use is taken back on the same day only.",
        "Tell the head office.",
    ),
    "rolled_back_before": (
        "This was taken back before",
        "A use of a coupon is taken back once.",
        "Tell the head office if it was another mistake.",
    ),
    "page_away": (
        "Your scan is noted",
        "The page of this mission cannot be shown just now.",
        "Come back in a few minutes: your scan is kept.",
    ),
    "log_unavailable": (
        "Please try again in a moment",
        "Too many people are scanning at once, and we do not want to lose your scan.",
        "Wait a few seconds and reload this page.",
    ),
    "receipt_expired": (
        "This scan is too old",
        "Too much time has passed since you scanned.",
        "Scan the code again: it takes a second.",
    ),
    "receipt_forged": (
        "This page is out of date",
        "What your phone sent does not belong to a scan of ours.",
        "Scan the code again: it takes a second.",
    ),
    "receipt_of_another_code": (
        "This page belongs to another code",
        "What your phone sent was made for another code.",
        "Scan the code in front of you.",
    ),
    "already_checked_in": (
        "This visit was already counted.",
        "This scan was checked in a moment ago.",
        "Scan the code again if this was somebody else’s visit.",
    ),
    "serial_used": (
        "This code was used already",
        "Each of these codes is good once, and this one has been used.",
        "Take another code, or ask the staff if you have not used this one.",
    ),
    "already_posted": ("Thank you, your idea is in.", "This idea arrived a moment ago.", "You need not send it again."),
    "reported": (
        "Thank you",
        "This code was reported many times today already.",
        "You need not report it again.",
    ),
    "report_too_long": ("Your report was not sent", "A report has at most 500 characters; shorten it a little.", ""),
    "flagged": ("Thank you", "Many people flagged this already; a moderator looks at it first.", ""),
    "comment_empty": ("It was not sent", "Write a few words first: the text is empty.", ""),
    "comment_too_long": ("It was not sent", "A comment has at most 500 characters; shorten it a little.", ""),
    "one_link": ("It was not sent", "A text has at most one link.", "Take the others out and send it again."),
    "edit_closed": (
        "It is too late to change it",
        "This idea can no longer be changed: its time is over, or somebody has answered it.",
        "Write a comment under it to add something.",
    ),
    "too_many_follows": ("That did not work", "You follow a hundred ideas already.", "Leave one of them first."),
    "has_merged": (
        "That did not work",
        "Others were merged into this idea, so it cannot be merged itself.",
        "Merge those one by one.",
    ),
    "merge_itself": ("That did not work", "An idea cannot be merged into itself.", "Choose another one."),
    "old_letter": (
        "This link is not good any more",
        "Its day is over, or its address was erased.",
        "Leave your address again on your page.",
    ),
    "no_mail": ("That did not work", "No mail leaves this installation.", "Come back to your page instead."),
    "no_address": ("It was not sent", "This is not an e-mail address.", "Look whether a sign is missing."),
    "under_age_mail": (
        "From 15 years on",
        "An address can be left from 15 years on.",
        "If this is a mistake, ask us to mend it.",
    ),
    "too_many_letters": (
        "Enough letters for today",
        "Enough letters were asked for today.",
        "Look into your mailbox, or come back tomorrow.",
    ),
    "own_comment": ("That did not work", "Whether your comment was useful others say.", ""),
    "too_many_texts": (
        "That is enough for now",
        "You have written enough for now: three texts in the first hour, twenty a day.",
        "Keep this page open and send it later.",
    ),
    "case_empty": ("It was not sent", "Write a few words first: the text is empty.", ""),
    "case_too_long": ("It was not sent", "At most 2,000 characters; shorten it a little.", ""),
    "too_many_cases": (
        "That is enough for today",
        "You told the shop several things today already.",
        "Come back tomorrow, or ask the staff in the shop.",
    ),
    "under_age_text": (
        "From 15 years on",
        "It was not sent: writing is for people of 15 and over.",
        "Tell it to the staff in the shop, or to a grown-up.",
    ),
    "flag_too_long": ("Your flag was not sent", "What you say with it has at most 500 characters.", ""),
    "reason_too_long": ("That did not work", "A reason has at most 500 characters.", ""),
    "not_flagged": (
        "Nobody has flagged this",
        "Without a flag from a reader only personal attacks and private data may be hidden.",
        "Criticism stays where it is.",
    ),
    "reply_missing": ("It was not sent", "Choose one of the answers first.", ""),
    "reply_empty": ("It was not sent", "Write a few words first: the text is empty.", ""),
    "reply_too_long": ("It was not sent", "At most 500 characters; shorten it a little.", ""),
    "reply_fixed": (
        "You replied already",
        "You replied already, and the time to change it is over.",
        "Your reply stands as it was.",
    ),
    "reply_changes": (
        "That is enough",
        "You changed your reply many times.",
        "Your reply stands as it was.",
    ),
    "reply_hidden": (
        "This reply is hidden",
        "A moderator hid your reply: it cannot be changed.",
        "Your own page says why, and how to appeal.",
    ),
    "no_pilot": ("There is no pilot", "This campaign declares no pilot.", ""),
    "pilot_declared": ("It is declared already", "What a pilot must show is declared before it begins.", ""),
    "pilot_unmet": (
        "The pilot is not passed",
        "It has not shown everything that was declared.",
        "Go on with it, or let a threshold go below, with a reason.",
    ),
    "pilot_full": (
        "The pilot is full",
        "It has all the people it was meant for already.",
        "Come back when it opens to everybody.",
    ),
    "pilot_only": (
        "Soon, for everybody",
        "The shop’s own team is trying this out first.",
        "Come back soon and scan again. If you are of the team, ask for its link.",
    ),
    "pilot_elsewhere": ("Not in this shop", "The pilot is held in other shops.", "Your pilot page names them."),
    "waived_already": ("That was done already", "This threshold was let go before.", ""),
    "unknown_cohort_link": (
        "We do not know this link",
        "It was cut short, or is not one of ours.",
        "Ask for a new one.",
    ),
    "cohort_link_over": ("This link is over", "It is used up, too old, or was taken back.", "Ask for a new one."),
    "unknown_pledge_link": (
        "We do not know this link",
        "It was cut short, or what it was for is gone.",
        "Open it again as it was sent to you, or ask for a new one.",
    ),
    "pledge_link_used": (
        "This link has been used",
        "It is good once, and somebody signed or accepted with it.",
        "Open it again to read what was signed, or ask who sent it to you.",
    ),
    "pledge_link_over": (
        "This link is too old",
        "It was taken back, or is older than 14 days.",
        "Ask who sent it to you for a new one.",
    ),
    "terms_frozen": (
        "This is signed already",
        "A signature froze its terms.",
        "Read what was signed, or end the pledge and make another one.",
    ),
    "terms_changed": (
        "The terms changed",
        "They are not what was shown to you any more, and nothing was signed.",
        "Read them again as they are now.",
    ),
    "match_unsigned": (
        "Not yet",
        "The pledge that this one matches is not signed yet.",
        "Ask who sent you the link to tell you when it is.",
    ),
    "no_cause": (
        "There is nothing to choose",
        "No pledge of this mission leaves a choice of causes now.",
        "Go on with the mission: each act counts.",
    ),
    "cause_missing": (
        "Choose a cause",
        "This is not one of the causes of the mission.",
        "Choose one of those on the mission’s page.",
    ),
    "unknown_card": (
        "We do not know this card",
        "This is not the code of a card.",
        "Read it again, character by character.",
    ),
    "card_closed": ("This card is over", "It was withdrawn.", "Give the person another one."),
    "place_apart": ("Not in this shop", "This shop takes no part in the card’s mission.", ""),
    "already_recorded": ("It was done already.", "This was recorded a moment ago.", ""),
    "staff_limit": (
        "That is enough for now",
        "A phone records 40 acts and 15 votes an hour at most.",
        "Go on in the next hour, or with another phone of the shop.",
    ),
    "rounds_overlap": (
        "Two votes at once",
        "Another vote of this mission is open at the same time.",
        "Choose other hours, or close that one first.",
    ),
    "idea_empty": ("Your idea was not sent", "Write your idea first: the text is empty.", ""),
    "idea_too_long": ("Your idea was not sent", "An idea has at most 500 characters; shorten it a little.", ""),
    "under_age": (
        "From 15 years on",
        "It was not sent: ideas and votes are for people of 15 and over.",
        "You can go on checking in in the shops. If this is a mistake, ask us.",
    ),
    "idea_missing": ("Your vote was not counted", "Press the button of the idea you vote for.", ""),
    "no_round": ("There is no vote here", "This mission asks for no votes.", "See what else you can do in it."),
    "round_ahead": (
        "The vote has not opened yet",
        "The vote has not opened yet.",
        "The page of the mission says when it does.",
    ),
    "round_open": (
        "The vote is still open",
        "The tally can be downloaded once it is closed.",
        "Come back after the close.",
    ),
    "round_over": (
        "The vote is closed",
        "The vote is closed: its result stands and does not change any more.",
        "You find it on the page of the mission.",
    ),
    "idea_closed": (
        "This idea takes no votes any more",
        "Its author took the idea back, or it became part of another one.",
        "Your vote is still yours: give it to another idea.",
    ),
    "already_voted": (
        "You voted for this idea already",
        "You voted for this idea already: it counts once.",
        "Give your other votes to other ideas.",
    ),
    "not_voted": ("You have no vote for this idea", "No vote of yours for this idea stands.", "Nothing was changed."),
    "quota_used": (
        "You have given all your votes",
        "You have given all your votes.",
        "Take one back to give it to another idea.",
    ),
    "proof_used": (
        "This visit opened a ballot already",
        "A visit opens one ballot, and yours did.",
        "Scan a code in a shop and check in again.",
    ),
    "visit_missing": (
        "Come to the shop while the vote is open",
        "This vote is for people who come to its shops while it is open.",
        "Scan a code there and check in, then come back here.",
    ),
    "age_missing": ("Your idea was not sent", "Say whether you are 15 or older.", ""),
    "erased": (
        "This visit was erased",
        "It stays counted, but nobody knows any more who made it.",
        "Scan the code again to take part anew.",
    ),
    "unknown_act_code": (
        "We do not know this code",
        "No phone shows this code now: it is good for ten minutes, and once.",
        "Read it again, or have a new one shown.",
    ),
    "unknown_recovery_code": (
        "We do not know this recovery code",
        "This is no recovery code of ours, or a character was misread.",
        "It has sixteen letters and digits: look at it again.",
    ),
    "recovery_code_used": (
        "This code was used already",
        "A recovery code is good once, and this one has moved somebody.",
        "Make a new one on a phone where you are known, on “My page”.",
    ),
    "recovery_code_replaced": (
        "This code was replaced",
        "A newer recovery code has taken its place.",
        "Use the newest, or make one on the phone where you are known.",
    ),
    "recovery_tries": (
        "Please wait a little",
        "Ten wrong codes came from here within the hour.",
        "Try again in an hour; your place is kept.",
    ),
    "friend_tries": (
        "Please wait a little",
        "Many wrong codes came from here within the hour.",
        "Ask your friend for a new code, and try again in an hour.",
    ),
    "nobody_here": (
        "Nobody is known here yet",
        "This phone has not taken part in anything.",
        "Take part first, then keep your place.",
    ),
    "other_scope": (
        "These two stay two",
        "One of them is known in one campaign alone, because its browser objects to being followed.",
        "Go on with either: both keep what they did.",
    ),
    "act_code_used": ("Used already", "This code was taken once.", "Have a new one shown."),
    "own_code": ("This is your own code", "You typed the code of this phone.", "Type the one on your friend’s phone."),
    "other_place": ("Not in this shop", "This step is done in another place.", "Its page says where."),
    "already_told": ("That did not work", "It arrived a moment ago.", "You need not send it again."),
    "no_such_step": ("That did not work", "This mission does not ask for that.", "See what it asks for on its page."),
    "conflict": (
        "That did not work",
        "It was done already, or something changed meanwhile.",
        "Reload the page and look again.",
    ),
    "too_large": ("That did not work", "What your phone sent is too large.", "Shorten it and try again."),
    "campaign_closed": (
        "This campaign takes nothing more just now",
        "It has not started, is taking a break, or is over.",
        "Thank you for coming. Nothing you did is lost.",
    ),
    "till_code_wrong": (
        "This is not the code of the moment.",
        "This is not the code of the moment.",
        "It changes every 30 seconds: read it again from the shop’s screen.",
    ),
    "till_code_tries": (
        "Too many codes were tried",
        "For safety, no more till codes are taken here for now.",
        "Share your position, or ask the staff.",
    ),
    "presence_missing": (
        "First show that you were in the shop",
        "This step is for people who came: that is what gives it weight.",
        "Scan a code in a shop and check in, then come back here.",
    ),
    "not_found": (
        "There is nothing at this address",
        "The link may be cut short or too old.",
        "Type the code you saw in the shop, or scan it again.",
    ),
    "method_not_allowed": ("That did not work", "This address does not take what your phone sent.", "Scan again."),
    "cross_site": (
        "This form came from elsewhere",
        "It was sent from another site, so we did not take it.",
        "Open the page from the code in the shop and try again.",
    ),
    "not_signed_in": (
        "This phone is not signed in",
        "The shop console opens with a sign-in link of the shop.",
        "Ask your manager for a new link.",
    ),
    "unknown_link": (
        "This link is not one of ours",
        "This sign-in link is not one of ours: perhaps it was cut short.",
        "Ask your manager for a new link.",
    ),
    "link_used": (
        "This link was used already",
        "A sign-in link works once, and this one has signed a phone in.",
        "Ask your manager for a new link.",
    ),
    "link_expired": (
        "This link is too old",
        "This sign-in link was good for a time that is over.",
        "Ask your manager for a new link.",
    ),
    "locked": ("This phone is locked", "Nothing was done: the phone was locked meanwhile.", "Type its PIN first."),
    "manager_needed": (
        "That is for the manager’s phone",
        "This phone is signed in as staff. Nothing was done.",
        "Ask your manager to do it from theirs.",
    ),
    "pin_shape": ("Choose four digits", "A PIN is exactly four digits, 0 to 9.", ""),
    "pin_tries": (
        "This phone was signed out",
        "The PIN was wrong five times in a row, so this phone was signed out.",
        "Ask your manager for a new link.",
    ),
    "sign_in_link_used": (
        "This link is used up",
        "A sign-in link works once, and not for long.",
        "Ask for a new one.",
    ),
    "member_not_signed_in": (
        "You are not signed in",
        "A session ends after twelve hours, or after half an hour without you.",
        "Sign in with a new link.",
    ),
    "right_missing": (
        "That is not for your role",
        "Your role does not allow this.",
        "Ask an owner of the organisation.",
    ),
    "nothing_due": (
        "Nothing is due here",
        "Nothing is due to this cause that is not in a payout already.",
        "Look at the payouts below: somebody may have proposed it just now.",
    ),
    "own_proposal": (
        "Somebody else decides this",
        "You proposed it, or issued the key that did.",
        "Ask another member who may approve.",
    ),
    "changed_since": (
        "It changed since",
        "The campaign or its mission changed after this was proposed.",
        "Look at it again, and propose it anew.",
    ),
    "decided_already": (
        "That is decided already",
        "Somebody was faster, or it was taken back.",
        "Load the page again to see what was decided.",
    ),
    "last_owner": (
        "The last owner stays",
        "An organisation keeps at least one owner who has signed in.",
        "Make somebody else an owner first.",
    ),
    "member_exists": (
        "Somebody with this address is a member already",
        "An address belongs to one member of an organisation.",
        "Look for it in the list of members.",
    ),
    "too_many_links": (
        "That is enough links for now",
        "This member was sent five links in half an hour.",
        "Use one of them, or wait.",
    ),
    "wrong_state": (
        "That does not fit its state",
        "Its state changed meanwhile, or does not lead there.",
        "Load the page again and look.",
    ),
    "too_many_keys": (
        "That is enough keys for now",
        "An organisation has at most 200 live keys.",
        "Revoke some that nobody uses.",
    ),
    "rotation_running": (
        "Two keys of this line live already",
        "The key was rotated before, and both still work.",
        "Revoke the old one first.",
    ),
    "no_live_code": (
        "This screen has no code to show",
        "No live code stands in this shop just now.",
        "Ask who runs the campaign to issue one, then open this page again.",
    ),
    "internal": (
        "Something failed on our side",
        "It was noted, and we will look into it.",
        "Please try again in a moment.",
    ),
    "invalid": (
        "Something could not be read",
        "What your phone sent was not complete.",
        "Go back, check what you typed, and try again.",
    ),
    "storage_unavailable": (
        "Please try again in a moment",
        "We cannot write anything down just now, and we do not want to lose what you did.",
        "Wait a few seconds and try again.",
    ),
    "busy": ("Please try again in a moment", "Many people are here at once.", "Wait a few seconds and try again."),
}
